"""Supervisors started by hand, with a stand-in for the training process where training does not matter."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import AnyEvent
from kto_tui.runs.folder import RunFolder, create_run
from kto_tui.runs.state import RunState

PATIENCE_SECONDS = 60.0
STAND_IN = Path(__file__).with_name("stand_in.py")
ROOT = Path(__file__).parents[2]
_started: list[subprocess.Popen[bytes]] = []


def new_run(**recipe: object) -> RunFolder:
    return create_run(RunConfig(model="org/name", data="starter", recipe=Recipe(**recipe)))  # type: ignore[arg-type]


def supervise(run: RunFolder, *deed: object, before: Sequence[str] = (), **env: str) -> subprocess.Popen[bytes]:
    """The supervisor of ``run`` with a stand-in that does ``deed``, or the real training; ``before`` becomes it."""
    stand_in = [sys.executable, str(STAND_IN), *map(str, deed)] if deed else []
    with os.fdopen(os.open(run.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "kto_tui.worker.supervisor", str(run.path), *stand_in],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        )
    _started.append(process)
    return process


def events_of(run: RunFolder) -> list[AnyEvent]:
    tail, found = Tail(run.events), list[AnyEvent]()
    while events := tail.read():
        found += events
    return found


def wait(run: RunFolder, until: Callable[[RunState], object]) -> RunState:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if until(state := run.read_state()):
            return state
        time.sleep(0.05)
    pytest.fail(f"waited in vain; events: {events_of(run)[-5:]} log:\n{chr(10).join(run.log_tail(30))}")


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Ends every process whose arguments name ``folder``, whatever happened."""
    try:
        yield
    finally:
        processes = psutil.process_iter(["cmdline"])
        left = [p for p in processes if any(str(folder) in part for part in p.info["cmdline"] or [])]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        while _started:
            _started.pop().wait(timeout=10)


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[tuple[str, ...]]:
    """A control group with a memory limit, and the program that enters it before it becomes another; else a skip."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="ascii")
    except OSError:
        pytest.skip("no control groups here")
    old, new = (re.search(pattern, groups, re.MULTILINE) for pattern in (r"^\d+:memory:/(.*)$", r"^0::/(.*)$"))
    root, found, name = (
        ("/sys/fs/cgroup/memory", old, "memory.limit_in_bytes") if old else ("/sys/fs/cgroup", new, "memory.max")
    )
    assert found is not None
    folder = Path(root) / found[1] / f"kto-tui-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here ({error})")
    try:
        if not (folder / name).exists():
            pytest.skip("control groups made here have no memory limit")
        (folder / name).write_text(str(limit_bytes))
        yield ("sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh")
    finally:
        folder.rmdir()
