"""Where sensors look: files, commands, libraries and the environment, so that a machine can be laid out in a test."""

import functools
import os
import platform
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")
COMMAND_SECONDS = 2.0


def run_command(command: Sequence[str], seconds: float = COMMAND_SECONDS) -> str | None:
    """Standard output of a command; None when it is missing, prints nothing or takes too long.

    The exit code says nothing here: sysctl(8) fails when one of several names is unknown and prints the others.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def ask(sensor: Callable[[], Value]) -> Value | None:
    """A sensor's answer, or None where it has none, whatever it raises: drivers fail in every way."""
    try:
        return sensor()
    except Exception:  # noqa: BLE001 - a sensor that fails is a figure less, never the end of the program
        return None


def in_background(sensor: Callable[[], Value]) -> Callable[[float], Value | None]:
    """Start ``sensor`` in a thread that nothing waits for at exit.

    Returns:
        a function that waits that many seconds for the answer; None when it failed or is late.
    """
    answers: queue.SimpleQueue[Value | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(ask(sensor)), daemon=True).start()

    def wait(seconds: float) -> Value | None:
        try:
            return answers.get(timeout=seconds)
        except queue.Empty:
            return None

    return wait


# What is asked of sysctl(8), all in one call; names as Apple's "Determining system capabilities" lists them.
SYSCTLS = (
    "machdep.cpu.brand_string", "kern.osproductversion", "hw.memsize", "hw.physicalcpu", "hw.logicalcpu",
    "hw.perflevel0.physicalcpu", "hw.optional.arm.FEAT_BF16", "hw.optional.neon", "hw.optional.AdvSIMD",
    "hw.optional.avx512f", "vm.swapusage", "iogpu.wired_limit_mb",
)  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """This machine unless a test says otherwise.

    Attributes:
        root: the folder that holds ``proc`` and ``sys``.
        nvml: a module with NVML's functions; None imports ``pynvml``.
    """

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    run: Callable[[Sequence[str]], str | None] = run_command
    nvml: Any = None
    system: str = field(default_factory=platform.system)
    machine: str = field(default_factory=platform.machine)
    release: str = field(default_factory=platform.release)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def text(self, path: str | Path) -> str | None:
        """Content of a file below the root without surrounding space; None when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str | Path) -> int | None:
        """The whole number a file holds; None when it holds something else."""
        try:
            return int(self.text(path) or "")
        except ValueError:
            return None

    def exists(self, path: str | Path) -> bool:
        """Whether there is such a file below the root."""
        return os.path.exists(self.root / path)  # noqa: PTH110 - pathlib raises where it may not look

    @functools.cached_property
    def sysctl(self) -> dict[str, str]:
        """macOS sysctl values by name; those that are unknown are missing."""
        lines = (self.run(["sysctl", *SYSCTLS]) or "").splitlines() if self.system == "Darwin" else []
        pairs = (line.partition(":") for line in lines)
        return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}

    def sysctl_number(self, name: str) -> int | None:
        """A sysctl value that is a whole number."""
        return ask(lambda: int(self.sysctl[name]))
