"""One run's folder: where each file lies, how a run is created, found and listed."""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from kto_tui.atomic import write_atomically
from kto_tui.errors import UserError
from kto_tui.paths import make_private, nearest_existing, runs_home
from kto_tui.runs import names
from kto_tui.runs.about import known_about
from kto_tui.runs.config import RunConfig, to_toml
from kto_tui.runs.event_log import Tail
from kto_tui.runs.identity import boot_id, is_alive, read_identity
from kto_tui.runs.state import RESUMABLE, RunState, Status, fold, status

# An adapter, two checkpoints with optimizer state and the log; a full disk in the middle costs the night.
MIN_FREE_BYTES = 500 * 1024**2
LAST_WORD_BYTES = 16 * 1024


class RunFolder:
    """The files of one run. Nothing is read until asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "run.toml"
        self.about = path / "about.toml"
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
        """Whether the run's supervisor lives; None when it belongs to another host, or may not be known."""
        identity = read_identity(self.identity)
        if identity is None:
            return None if self.identity.exists() and not os.access(self.identity, os.R_OK) else False
        return is_alive(identity)

    def read_state(self) -> RunState:
        """The fold of everything written so far."""
        tail, state = Tail(self.events), RunState()
        while events := tail.read():
            state = fold(state, events)
        return state

    def status(self, state: RunState) -> Status:
        """The run's state in one word."""
        return status(state, alive=self.alive(), now=time.time())

    def newest_checkpoint(self) -> int | None:
        """The step of the newest checkpoint folder, None where there is none; whether it is whole is not asked."""
        steps = (path.name.removeprefix("checkpoint-") for path in self.checkpoints.glob("checkpoint-*"))
        return max((int(step) for step in steps if step.isdecimal()), default=None)

    def way_back(self) -> str:
        """How to go on with this run, a sentence without its full stop."""
        step = self.newest_checkpoint()
        return f"{'Begin it again' if step is None else f'Go on after step {step}'} with: kto-tui resume {self.id}"

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
        make_private(home)
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


def resumable(run: RunFolder, state: RunState) -> bool:
    """Whether ``run`` can go on where it was: it is over and has not finished."""
    return run.status(state) in RESUMABLE


def likely_cause(run: RunFolder) -> str:
    """Why a run died, as far as can be told from outside: a clause, and what its log says last."""
    identity = read_identity(run.identity)
    if identity is None:
        cause = "its supervisor never came up"
    elif identity.boot != boot_id():
        cause = "the machine was rebooted"
    else:
        cause = "supervisor and training were killed"
    last = next((line.strip() for line in reversed(run.log_tail()) if line.strip()), None)
    return cause if last is None else f"{cause}; its log ends with: {last[:200]}"


def died_runs() -> list[RunFolder]:
    """Runs of this machine that ended without a word, newest first; looks at the end of their logs only."""
    return [run for run in list_runs() if run.alive() is False and not _has_last_word(run)]


def _has_last_word(run: RunFolder) -> bool:
    # The supervisor may have read its gauges once more after the training process said its last word.
    return fold(RunState(), Tail(run.events, last_bytes=LAST_WORD_BYTES).read()).ended is not None


def without_a_word(died: Sequence[RunFolder]) -> str:
    """What to tell of runs that died, at least one, and how they go on; a sentence without its full stop."""
    first = died[0]
    if len(died) == 1:
        return f"{first.id} ended without a word: {likely_cause(first)}. {first.way_back()}"
    names = ", ".join(run.id for run in died)
    return f"{len(died)} runs ended without a word ({names}). {first.way_back()}"


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


def _check_readable(path: Path) -> None:
    try:
        (path / "run.toml").open("rb").close()
    except PermissionError:
        raise UserError(
            "The owner of this folder lets nobody else read it",
            mend="For the owner: chmod -R go+rX on the run, go+x on the folders above it",
            where=str(path),
        ) from None
    except (OSError, ValueError):  # no folder of a run: the sentence that follows says so
        return


def find_run(text: str) -> RunFolder:
    """The run whose id, title, unique beginning of either, or path is ``text``; ``last`` is the newest."""
    runs = list_runs()
    if text == "last" and runs:
        return runs[0]
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib raises on ~nobody, and below on names too long
    if "/" in text and os.path.exists(path / "run.toml"):  # noqa: PTH110
        _check_readable(path)
        return RunFolder(path.resolve())
    matches = _called(runs, text) if text else []
    if len(matches) == 1:
        return matches[0]
    if "/" in text and not matches:
        _check_readable(path)
    known = ", ".join(run.id for run in runs[:5]) or "none yet; start one with kto-tui demo"
    problem = f"Several runs begin with {text!r}" if matches else f"There is no run called {text!r}"
    raise UserError(problem, mend=f"Known runs: {known}", where=str(runs_home()))


def _called(runs: list[RunFolder], text: str) -> list[RunFolder]:
    """Those of the first kind of match that there is; titles are read only when no id is ``text``."""
    if exact := [run for run in runs if run.id == text]:
        return exact
    word = text.casefold()
    titles = {run.id: known_about(run.about).title.casefold() for run in runs}
    return [run for run in runs if titles[run.id] == word] or [
        run for run in runs if run.id.startswith(text) or titles[run.id].startswith(word)
    ]


def list_runs() -> list[RunFolder]:
    """All runs on this machine, newest first."""
    try:
        entries = [path for path in runs_home().iterdir() if not path.name.startswith(".")]
        found = [path for path in entries if (path / "run.toml").exists()]
    except OSError:
        return []
    return [
        RunFolder(path) for path in sorted(found, key=lambda path: (path / "run.toml").stat().st_mtime_ns, reverse=True)
    ]
