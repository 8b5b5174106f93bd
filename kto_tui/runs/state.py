"""The state of a run: a pure fold over its events, and the word that liveness and the last event give together."""

from typing import Literal, TypeVar

import msgspec

from kto_tui.runs.events import (
    AdapterSaved,
    AnyEvent,
    CheckpointSaved,
    DataPrepared,
    Ended,
    Evaluated,
    GaugesRead,
    Noted,
    PeakMeasured,
    PhaseEntered,
    Sampled,
    StepCompleted,
    TrainingStarted,
    WorkerStarted,
)

STALLED_AFTER_SECONDS = 60.0
Status = Literal[
    "queued", "starting", "running", "stalled", "paused", "stopped", "finished", "failed", "died", "unknown"
]
Item = TypeVar("Item")


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a screen or command shows of a run; never stored, always rebuilt from the events."""

    started: WorkerStarted | None = None
    phase: str | None = None
    data: DataPrepared | None = None
    training: TrainingStarted | None = None
    steps: tuple[StepCompleted, ...] = ()
    evaluations: tuple[Evaluated, ...] = ()
    samples: tuple[Sampled, ...] = ()
    gauges: GaugesRead | None = None
    peak: PeakMeasured | None = None
    checkpoints: tuple[CheckpointSaved, ...] = ()
    adapter: AdapterSaved | None = None
    notes: tuple[Noted | PhaseEntered | PeakMeasured | CheckpointSaved | AdapterSaved | Evaluated | Ended, ...] = ()
    ended: Ended | None = None
    last_event_at: float | None = None
    step_times: tuple[float, ...] = ()

    @property
    def last_step(self) -> StepCompleted | None:
        """The newest point of the curves."""
        return self.steps[-1] if self.steps else None

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.steps[-1].step if self.steps else 0

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps planned, once known."""
        if self.training is not None:
            return self.training.total_steps
        return self.steps[-1].total_steps if self.steps else None

    @property
    def elapsed_seconds(self) -> float | None:
        """Time from the start of the worker to its newest event."""
        if self.started is None or self.last_event_at is None:
            return None
        return self.last_event_at - self.started.t

    @property
    def remaining_seconds(self) -> float | None:
        """Time the remaining steps take at the mean speed of the last twenty; evaluation not included."""
        recent = self.step_times[-21:]
        if self.total_steps is None or len(recent) < 2 or len(self.steps) < 2:
            return None
        steps = self.steps[-1].step - self.steps[-len(recent)].step
        per_step = (recent[-1] - recent[0]) / max(1, steps)
        return per_step * (self.total_steps - self.step)


# Which field an event's newest instance goes to, which list it joins, and which events people read as news.
_LATEST: dict[type, str] = {
    WorkerStarted: "started",
    PhaseEntered: "phase",
    DataPrepared: "data",
    TrainingStarted: "training",
    GaugesRead: "gauges",
    PeakMeasured: "peak",
    AdapterSaved: "adapter",
    Ended: "ended",
}
_LISTS: dict[type, str] = {
    StepCompleted: "steps",
    Evaluated: "evaluations",
    Sampled: "samples",
    CheckpointSaved: "checkpoints",
}
_TOLD = (Noted, PhaseEntered, PeakMeasured, CheckpointSaved, AdapterSaved, Evaluated, Ended)


def fold(state: RunState, events: list[AnyEvent]) -> RunState:
    """``state`` after ``events``. Pure: the same events give the same state, in one batch or in many."""
    if not events:
        return state
    changes: dict[str, object] = {"last_event_at": events[-1].t}
    lists: dict[str, list[object]] = {"steps": [], "evaluations": [], "samples": [], "checkpoints": [], "notes": []}
    for event in events:
        field, kept = _LATEST.get(type(event)), _LISTS.get(type(event))
        if field is not None:
            changes[field] = event.phase if isinstance(event, PhaseEntered) else event
        if kept is not None:
            lists[kept].append(event)
        if isinstance(event, _TOLD):
            lists["notes"].append(event)
        if isinstance(event, WorkerStarted):
            changes["ended"] = None
    times = tuple(event.t for event in events if isinstance(event, StepCompleted))
    grown = {name: (*getattr(state, name), *new) for name, new in lists.items() if new}
    return msgspec.structs.replace(state, **changes, **grown, step_times=state.step_times + times)


def status(state: RunState, *, alive: bool | None, now: float) -> Status:
    """The run's state in one word.

    Args:
        state: the fold of its events.
        alive: whether its supervisor lives; None when it belongs to another host.
        now: Unix time in seconds.
    """
    if state.ended is not None:
        words: dict[str, Status] = {"finished": "finished", "stopped": "stopped", "paused": "paused"}
        return words.get(state.ended.reason, "failed")
    if alive is None:
        return "unknown"
    if not alive:
        return "died"
    if state.last_event_at is not None and now - state.last_event_at > STALLED_AFTER_SECONDS:
        return "stalled"
    return "running" if state.steps else "starting"
