"""One run's folder: where each file lies, how a run is created, found and listed."""

import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from kto_tui.atomic import write_atomically
from kto_tui.errors import UserError
from kto_tui.paths import nearest_existing, runs_home
from kto_tui.runs import names
from kto_tui.runs.config import RunConfig, to_toml
from kto_tui.runs.events import Tail
from kto_tui.runs.identity import is_alive, read_identity
from kto_tui.runs.state import RunState, Status, fold, status

# An adapter, two checkpoints with optimizer state and the log; a full disk in the middle costs the night.
MIN_FREE_BYTES = 500 * 1024**2


class RunFolder:
    """The files of one run. Nothing is read until asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "run.toml"
        self.events = path / "events.jsonl"
        self.control = path / "control.jsonl"
        self.log = path / "worker.log"
        self.identity = path / "supervisor.json"
        self.lock = path / "writer.lock"
        self.adapter = path / "adapter"
        self.checkpoints = path / "checkpoints"

    @property
    def id(self) -> str:
        """The run's name: that of its folder."""
        return self.path.name

    def alive(self) -> bool | None:
        """Whether the run's supervisor lives; None when it belongs to another host."""
        identity = read_identity(self.identity)
        return False if identity is None else is_alive(identity)

    def read_state(self) -> RunState:
        """The fold of everything written so far."""
        tail, state = Tail(self.events), RunState()
        while events := tail.read():
            state = fold(state, events)
        return state

    def status(self, state: RunState) -> Status:
        """The run's state in one word."""
        return status(state, alive=self.alive(), now=time.time())

    def log_tail(self, lines: int = 20) -> list[str]:
        """The last lines of the worker's log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 200 * lines - 4096))
                return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            return []


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"Runs cannot be written here ({error.strerror or error})",
        mend="Free the disk or point KTO_TUI_HOME at a writable folder",
        where=str(path),
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_disk() -> None:
    """Raise a UserError when runs cannot be written: no space, no permission, a read-only disk."""
    home = runs_home()
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x")
            probe.flush()
        free = shutil.disk_usage(nearest_existing(home)).free
    except OSError as error:
        raise _unwritable(home, error) from None
    if free < MIN_FREE_BYTES:
        raise UserError(
            f"Only {free // 1024**2} MiB of disk are free, a run needs {MIN_FREE_BYTES // 1024**2}",
            mend="Free the disk or point KTO_TUI_HOME at another one",
            where=str(home),
        )


def create_run(config: RunConfig) -> RunFolder:
    """A new run folder with its ``run.toml``; nothing is left behind when that fails."""
    check_disk()
    rng = random.SystemRandom()
    for attempt in range(1000):
        name = f"{rng.choice(names.ADJECTIVES)}-{rng.choice(names.ANIMALS)}"
        path = runs_home() / (name if attempt < 100 else f"{name}-{attempt}")
        run = RunFolder(path)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        try:
            write_atomically(run.config, to_toml(config).encode())
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise _unwritable(path, error) from None
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return run
    raise UserError("No free run name was found", mend="Delete old runs", where=str(runs_home()))


def find_run(text: str) -> RunFolder:
    """The run whose id, unique beginning of an id, or path is ``text``; ``last`` is the newest."""
    runs = list_runs()
    if text == "last" and runs:
        return runs[0]
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib raises on ~nobody, and below on names too long
    if "/" in text and os.path.exists(path / "run.toml"):  # noqa: PTH110
        return RunFolder(path.resolve())
    exact = [run for run in runs if run.id == text]
    matches = exact or [run for run in runs if text and run.id.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(run.id for run in runs[:5]) or "none yet; start one with kto-tui demo"
    problem = f"Several runs begin with {text!r}" if matches else f"There is no run called {text!r}"
    raise UserError(problem, mend=f"Known runs: {known}", where=str(runs_home()))


def list_runs() -> list[RunFolder]:
    """All runs on this machine, newest first."""
    try:
        found = [path for path in runs_home().iterdir() if (path / "run.toml").exists()]
    except OSError:
        return []
    return [
        RunFolder(path) for path in sorted(found, key=lambda path: (path / "run.toml").stat().st_mtime_ns, reverse=True)
    ]


class RunSummary(msgspec.Struct, frozen=True):
    """One line of ``kto-tui runs``; times are Unix seconds."""

    id: str
    state: Status
    step: int
    total_steps: int | None
    loss: float | None
    tokens_per_second: float | None
    started: float | None
    ended: float | None
    reason: str | None
    path: str
    heldout_accuracy: float | None = None
    message: str | None = None


def summarise(run: RunFolder) -> RunSummary:
    """What the runs list shows of ``run``."""
    state = run.read_state()
    last = state.last_step
    ended: Any = state.ended
    return RunSummary(
        id=run.id,
        state=run.status(state),
        step=state.step,
        total_steps=state.total_steps,
        loss=None if last is None else last.loss,
        tokens_per_second=None if last is None else last.tokens_per_second,
        started=None if state.started is None else state.started.t,
        ended=None if ended is None else ended.t,
        reason=None if ended is None else ended.reason,
        path=str(run.path),
        heldout_accuracy=state.evaluations[-1].accuracy if state.evaluations else None,
        message=None if ended is None else ended.message or None,
    )
