"""The state of a run: a pure fold over its events, and the word that liveness and the last event give together."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from kto_tui.runs.events import (
    AdapterSaved,
    Adjusted,
    AllocatorRead,
    AnyEvent,
    CheckpointSaved,
    DataPrepared,
    Ended,
    Evaluated,
    GaugesRead,
    Marked,
    MemoryRanOut,
    Noted,
    PeakMeasured,
    PhaseEntered,
    Queued,
    Resumed,
    Sampled,
    StepCompleted,
    TrainingStarted,
    WorkerStarted,
)

STALLED_AFTER_SECONDS = 60.0
RECENT_STEPS = 20
KEPT_NOTES = 500
# A longer pause between two readings was no draw: the run was over in between, or the machine asleep.
GAUGE_GAP_SECONDS = 30.0
Status = Literal[
    "queued", "starting", "running", "stalled", "paused", "stopped", "finished", "failed", "died", "unknown"
]
OVER: frozenset[Status] = frozenset({"paused", "stopped", "finished", "failed", "died", "unknown"})
# Ends after which a run can go on where it was.
RESUMABLE: frozenset[Status] = frozenset({"paused", "stopped", "failed", "died"})
Note = (
    Noted
    | PhaseEntered
    | PeakMeasured
    | CheckpointSaved
    | AdapterSaved
    | Evaluated
    | Queued
    | Resumed
    | Adjusted
    | MemoryRanOut
    | Marked
    | Ended
)


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """What a screen or command shows of a run beside its curves; never stored, always rebuilt from the events.

    Attributes:
        reached: the farthest step that any other event than a point of the curves tells of.
        recent: time and step of the newest points of the curves, for the speed.
        joules: that the GPU drew while its gauges were read; None where it does not say.
        allocator_peak_bytes: the highest of all training processes.
    """

    started: WorkerStarted | None = None
    phase: str | None = None
    queued: Queued | None = None
    data: DataPrepared | None = None
    training: TrainingStarted | None = None
    last_step: StepCompleted | None = None
    reached: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    resumed: Resumed | None = None
    adjustments: tuple[Adjusted, ...] = ()
    evaluations: tuple[Evaluated, ...] = ()
    samples: tuple[Sampled, ...] = ()
    gauges: GaugesRead | None = None
    joules: float | None = None
    allocator: AllocatorRead | None = None
    allocator_peak_bytes: int | None = None
    peak: PeakMeasured | None = None
    checkpoints: tuple[CheckpointSaved, ...] = ()
    adapter: AdapterSaved | None = None
    notes: tuple[Note, ...] = ()
    ended: Ended | None = None
    last_event_at: float | None = None

    @property
    def step(self) -> int:
        """Optimizer steps done, as far as is known: not each is a point of the curves."""
        return max(self.reached, self.logged_step)

    @property
    def logged_step(self) -> int:
        """Optimizer steps that the curves tell of."""
        done = 0 if self.last_step is None else self.last_step.step
        return done if self.resumed is None else max(done, self.resumed.step)

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps planned, once known."""
        if self.last_step is not None:
            return self.last_step.total_steps
        return None if self.training is None else self.training.total_steps

    @property
    def elapsed_seconds(self) -> float | None:
        """Time from the start of the worker to its newest event."""
        if self.started is None or self.last_event_at is None:
            return None
        return self.last_event_at - self.started.t

    @property
    def remaining_seconds(self) -> float | None:
        """Time the remaining steps take at the mean speed of the last twenty; evaluation not included."""
        if self.total_steps is None or len(self.recent) < 2:
            return None
        (begin, first), (end, last) = self.recent[0], self.recent[-1]
        return (end - begin) / max(1, last - first) * (self.total_steps - self.step)


# Which field an event's newest instance goes to, which list it joins, and which events people read as news.
_LATEST: dict[type, str] = {
    WorkerStarted: "started",
    Queued: "queued",
    PhaseEntered: "phase",
    DataPrepared: "data",
    TrainingStarted: "training",
    PeakMeasured: "peak",
    AdapterSaved: "adapter",
    Ended: "ended",
}
_LISTS: dict[type, str] = {
    Adjusted: "adjustments",
    Evaluated: "evaluations",
    Sampled: "samples",
    CheckpointSaved: "checkpoints",
}
_TOLD = get_args(Note)


def fold(state: RunState, events: Sequence[AnyEvent]) -> RunState:
    """``state`` after ``events``. Pure: the same events give the same state, in one batch or in many."""
    if not events:
        return state
    now = {name: getattr(state, name) for name in RunState.__struct_fields__}
    lists: dict[str, list[Any]] = {name: list(now[name]) for name in (*_LISTS.values(), "notes", "recent")}
    for event in events:
        # By far the most of a long run's events are these three.
        if isinstance(event, StepCompleted):
            now["last_step"] = event
            lists["recent"].append((event.t, event.step))
            continue
        if isinstance(event, GaugesRead):
            now["joules"] = _drawn(now["joules"], now["gauges"], event)
            now["gauges"] = event
            continue
        if isinstance(event, AllocatorRead):
            now["allocator"] = event
            now["allocator_peak_bytes"] = max(now["allocator_peak_bytes"] or 0, event.peak_bytes)
            now["reached"] = max(now["reached"], _told_step(event))
            continue
        field, kept = _LATEST.get(type(event)), _LISTS.get(type(event))
        now["reached"] = max(now["reached"], _told_step(event))
        if field is not None:
            now[field] = event.phase if isinstance(event, PhaseEntered) else event
        if kept is not None:
            lists[kept].append(event)
        if isinstance(event, _TOLD):
            lists["notes"].append(event)
        match event:
            case WorkerStarted():
                now |= {"ended": None, "queued": None, "phase": None}
                lists["recent"] = []
            case PhaseEntered():
                now["queued"] = None
            case Resumed():
                now |= {"resumed": event, "reached": event.step}
                _forget_beyond(event.step, now, lists)
    now["last_event_at"] = events[-1].t
    lists["notes"] = lists["notes"][-KEPT_NOTES:]
    lists["recent"] = lists["recent"][-RECENT_STEPS - 1 :]
    return RunState(**now | {name: tuple(items) for name, items in lists.items()})


def _told_step(event: AnyEvent) -> int:
    """The step at which ``event`` happened, 0 where it does not say; steps of the curves and resumes aside."""
    told = AllocatorRead | Evaluated | Sampled | CheckpointSaved | Marked
    return (event.step or 0) if isinstance(event, told) else 0


def _drawn(joules: float | None, before: GaugesRead | None, now: GaugesRead) -> float | None:
    if before is None or before.gpu_watts is None or now.gpu_watts is None:
        return joules
    seconds = now.t - before.t
    if not 0 <= seconds <= GAUGE_GAP_SECONDS:
        return joules
    return (joules or 0.0) + seconds * (before.gpu_watts + now.gpu_watts) / 2


def _forget_beyond(step: int, now: dict[str, Any], lists: dict[str, list[Any]]) -> None:
    """What comes after ``step`` is measured again; the base model's answers stay."""
    for name in ("evaluations", "samples", "checkpoints"):
        lists[name] = [one for one in lists[name] if one.step <= step]
    if (last := now["last_step"]) is not None and last.step > step:
        now["last_step"] = None
    lists["recent"] = []


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
    if state.queued is not None:
        return "queued"
    if state.last_event_at is not None and now - state.last_event_at > STALLED_AFTER_SECONDS:
        return "stalled"
    return "running" if state.recent else "starting"
