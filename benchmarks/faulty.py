"""Real runs to do harm to, and what was lost by it."""

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from kto_tui.draft import from_request, to_config
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.runs.config import RunConfig, RunRequest
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import (
    AnyEvent,
    CheckpointSaved,
    Ended,
    Resumed,
    StepCompleted,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.history import history
from kto_tui.runs.identity import read_identity
from kto_tui.runs.launch import resume, start
from kto_tui.runs.state import OVER, RunState

PATIENCE_SECONDS = 180.0
RECIPE = {
    "effective_batch": 4, "micro_batch": 2, "max_length": 64, "precision": "fp32", "learning_rate": 1e-3,
    "save_every": 2, "eval_every": 1_000_000, "sample_every": 1_000_000,
}  # fmt: skip
TIMES = {"t", "seconds", "tokens_per_second"}  # of a step: all that may differ between two runs


class Place(msgspec.Struct, frozen=True):
    """Where the runs of one kind of fault live, and what they train."""

    home: Path
    model: Path
    rows: Path
    steps: int
    rng: random.Random

    def config(self, **recipe: object) -> RunConfig:
        """A run of this place's model and rows."""
        values = {**RECIPE, "steps": self.steps, "epochs": 100, **recipe}
        asked = RunRequest(model=str(self.model), data=str(self.rows), overrides=values)
        return to_config(from_request(asked, detect()))


class Tally(msgspec.Struct):
    """What one kind of fault did, summed over all times it happened."""

    fault: str
    times: int = 0
    redone_steps: int = 0
    lost_checkpoints: int = 0
    unreadable_lines: int = 0
    not_resumed: int = 0
    orphans: int = 0
    differing: int = 0
    remark: str = ""

    @property
    def losses(self) -> int:
        """All that should be 0."""
        return self.lost_checkpoints + self.unreadable_lines + self.not_resumed + self.orphans + self.differing


def events_of(run: RunFolder) -> tuple[list[AnyEvent], int]:
    """All events, and how many lines are damaged or of an unknown kind."""
    tail, found = Tail(run.events), list[AnyEvent]()
    while events := tail.read():
        found += events
    return found, tail.damaged + tail.skipped


def curve(run: RunFolder) -> dict[int, dict[str, object]]:
    """The measured values of every step, as they count in the end."""
    steps = [msgspec.to_builtins(event) for event in history(run.events) if isinstance(event, StepCompleted)]
    return {values["step"]: {name: value for name, value in values.items() if name not in TIMES} for values in steps}


def adapter(run: RunFolder) -> bytes | None:
    """The final adapter's weights."""
    file = run.adapter / "adapter_model.safetensors"
    return file.read_bytes() if file.exists() else None


def wait(run: RunFolder, until: Callable[[RunState], bool], seconds: float = PATIENCE_SECONDS) -> RunState:
    """The run's state once ``until`` holds; ends the benchmark if it never does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if until(state := run.read_state()):
            return state
        time.sleep(0.05)
    raise SystemExit(f"waited in vain for {run.path}; log:\n" + "\n".join(run.log_tail(30)))


def processes(run: RunFolder) -> list[psutil.Process]:
    """Supervisor and training processes of ``run``."""
    marker, found = str(run.path), list[psutil.Process]()
    for process in psutil.process_iter(["cmdline"]):
        if any(marker in part for part in process.info["cmdline"] or []) and process.pid != os.getpid():
            found.append(process)
    return found


def victims(run: RunFolder, rng: random.Random) -> list[psutil.Process]:
    """The training process, the supervisor, or both."""
    identity = read_identity(run.identity)
    with contextlib.suppress(psutil.Error):
        supervisor = psutil.Process(identity.pid if identity else -1)
        children = supervisor.children(recursive=True)
        return rng.choice([children or [supervisor], [supervisor], [supervisor, *children]])
    return []


def last_checkpoint(events: list[AnyEvent]) -> int:
    """Step of the newest checkpoint the run has told of."""
    return max((event.step for event in events if isinstance(event, CheckpointSaved)), default=0)


def gone(run: RunFolder, tally: Tally, patience: float = 60.0) -> None:
    """Wait until no process of the run is left; what stays is an orphan, and killed."""
    deadline = time.monotonic() + patience
    # A process that is being taken apart has lost its command line already and still counts as alive.
    while ((left := processes(run)) or run.alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    tally.orphans += len(left)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def go_on(run: RunFolder, tally: Tally, told: list[AnyEvent], *, torn: bool = False) -> None:
    """Resume ``run`` and count what was lost. ``torn``: a checkpoint may have been damaged on purpose."""
    before = len(told)
    try:
        resume(run)
    except UserError as error:
        tally.not_resumed += 1
        tally.remark = str(error)
        return
    state = wait(run, lambda _: any(isinstance(e, Resumed | Ended) for e in events_of(run)[0][before:]))
    fresh = [event for event in events_of(run)[0][before:] if isinstance(event, Resumed)]
    done = max((e.step for e in told if isinstance(e, StepCompleted)), default=0)
    if not fresh:
        tally.not_resumed += bool(done)
        tally.remark = state.ended.message if state.ended else tally.remark
        return
    tally.redone_steps += max(0, done - fresh[0].step)
    tally.lost_checkpoints += (not torn) and fresh[0].step < last_checkpoint(told)


def over(run: RunFolder) -> RunState:
    """The run's state once nothing more comes by itself."""
    return wait(run, lambda state: run.status(state) in OVER, 10 * PATIENCE_SECONDS)


def settle(run: RunFolder, tally: Tally, reference: RunFolder) -> None:
    """Let ``run`` finish; count what differs from the run that nothing happened to."""
    over(run)
    gone(run, tally)
    one, other = curve(run), curve(reference)
    if one == other and adapter(run) == adapter(reference) is not None:
        return
    tally.differing += 1
    step = next((step for step in other if one.get(step) != other[step]), None)
    tally.remark = f"{run.read_state().ended}; first other step: {step}"


def names(run: RunFolder) -> set[str]:
    """What lies in the folder of the checkpoints, half-written ones too."""
    return {path.name for path in run.checkpoints.iterdir()} if run.checkpoints.exists() else set()


def moment(run: RunFolder, rng: random.Random) -> str:
    """Wait for a random moment: while starting, between two steps, or while a checkpoint is written."""
    kind = rng.choice(["starting", "training", "training", "saving", "saving"])
    if kind == "starting":
        time.sleep(rng.uniform(0, 8))
        return kind
    known = len(events_of(run)[0])
    wait(
        run,
        lambda state: (
            run.status(state) in OVER or any(isinstance(event, StepCompleted) for event in events_of(run)[0][known:])
        ),
    )
    time.sleep(rng.uniform(0, 1.5))
    if kind == "saving":
        deadline = time.monotonic() + 10
        before = names(run)
        while time.monotonic() < deadline and run.alive() and names(run) <= before:
            pass  # a checkpoint is written within milliseconds
        time.sleep(rng.uniform(0, 0.02))
    return kind


def untouched(place: Place) -> RunFolder:
    """The run that nothing happens to."""
    run = start(place.config())
    state = wait(run, lambda s: s.ended is not None, 1800)
    gone(run, Tally(fault=""))
    if state.ended is None or state.ended.reason != "finished":
        raise SystemExit(f"the reference run did not finish: {state.ended}")
    return run
