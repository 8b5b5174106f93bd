"""The detached supervisor: holds the run's lock, starts the training process, measures it and notes how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.hardware.detect import LATE, NVML_SECONDS
from kto_tui.hardware.nvidia import detect_nvidia
from kto_tui.hardware.sources import Sources, in_background
from kto_tui.memory.measured import add
from kto_tui.runs.control import request
from kto_tui.runs.events import Ended, EventWriter, Noted, Tail, WorkerStarted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import own_identity, write_identity
from kto_tui.worker.child_environment import one_gpu, returns_memory
from kto_tui.worker.speed_record import speed_of
from kto_tui.worker.telemetry import Telemetry

GAUGE_SECONDS = 2.0
POLL_SECONDS = 0.1
PACKAGES = ("kto-tui", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes")


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    versions = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _oom_kills() -> int | None:
    """The kernel's count of out-of-memory kills on this host (proc(5), /proc/vmstat); None where unknown."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def _has_ended(run: RunFolder) -> bool:
    tail, ended = Tail(run.events), False
    while events := tail.read():
        ended = any(isinstance(event, Ended) for event in events) or ended
    return ended


def _obituary(code: int, oom_kills_before: int | None, log: Path) -> Ended:
    """The record for a training process that left none itself."""
    if code >= 0:
        return Ended(
            reason="failed",
            message=f"The training process ended with exit code {code}. The log {log} has more.",
        )
    name = signal.Signals(-code).name
    message = f"The training process was killed by {name}"
    after = _oom_kills()
    if code == -signal.SIGKILL and after is not None and oom_kills_before is not None and after > oom_kills_before:
        message += ", and the kernel's out-of-memory counter went up: lower micro_batch or max_length"
    return Ended(reason="failed", message=f"{message}. The log {log} has its last lines.")


def _remember_speed(run: RunFolder, environment: Mapping[str, str]) -> None:
    with contextlib.suppress(UserError):  # the estimates of later runs lack one measurement, nothing else
        if (record := speed_of(run, detect(Sources(env=environment)))) is not None:
            add(record)


def supervise(run: RunFolder) -> int:
    """Run the training process of ``run`` to its end; 0 when it ended well."""
    writer = EventWriter(run.events)
    identity = own_identity()
    writer.write(WorkerStarted(host=identity.host, pid=identity.pid, versions=installed_versions()))
    write_identity(run.identity, identity)
    kills = _oom_kills()
    gpus, _ = in_background(detect_nvidia)(NVML_SECONDS) or LATE
    environment, remark = one_gpu(os.environ, gpus)
    if not gpus:
        environment = returns_memory(environment)
    if remark is not None:
        writer.write(Noted(text=remark))
    child = subprocess.Popen(
        [sys.executable, "-m", "kto_tui.worker", str(run.path)], stdin=subprocess.DEVNULL, env=environment
    )

    def forward(_number: int, _frame: FrameType | None) -> None:
        # The file first: a child that has not yet set up its handlers would die of the signal alone.
        with contextlib.suppress(OSError):
            request(run.control, "stop")

    signal.signal(signal.SIGTERM, forward)
    telemetry = Telemetry(child.pid)
    next_gauge = 0.0
    while child.poll() is None:
        now = time.monotonic()
        if now >= next_gauge:
            writer.write(telemetry.read(now))
            next_gauge = now + GAUGE_SECONDS
        time.sleep(POLL_SECONDS)
    writer.mend()
    if not _has_ended(run):
        writer.write(_obituary(child.returncode, kills, run.log))
    writer.close()
    _remember_speed(run, environment)
    return 0 if child.returncode == 0 else 1


def main(argv: list[str]) -> int:
    """Entry point: ``python -m kto_tui.worker.supervisor RUN``."""
    run = RunFolder(Path(argv[0]))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The terminal must stay quick on a machine whose cores are busy training.
    with contextlib.suppress(OSError):
        os.nice(5)
    try:
        with FileLock(str(run.lock), timeout=0):
            return supervise(run)
    except Timeout:
        print(f"{run.path}: another worker already writes this run", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
