"""The state of a run: one fold, however the events arrive, and one word for it."""

from itertools import pairwise
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from kto_tui.runs.state import STALLED_AFTER_SECONDS, RunState, fold, status

SAMPLES: dict[type, AnyEvent] = {
    WorkerStarted: WorkerStarted(host="h", pid=1),
    PhaseEntered: PhaseEntered(phase="loading"),
    DataPrepared: DataPrepared(
        train_rows=9,
        heldout_rows=1,
        desirable=5,
        undesirable=4,
        dropped_rows=0,
        cut_rows=0,
        desirable_weight=1,
        undesirable_weight=1,
        weights_because="b",
    ),
    TrainingStarted: TrainingStarted(
        total_steps=50, device="cpu", precision="fp32", trainable_parameters=1, total_parameters=2
    ),
    StepCompleted: StepCompleted(step=1, total_steps=50, loss=0.5),
    Evaluated: Evaluated(step=1, rows=1, accuracy=0.5),
    Sampled: Sampled(step=0, answers=()),
    GaugesRead: GaugesRead(cpu_percent=50.0),
    AllocatorRead: AllocatorRead(active_bytes=1, cache_bytes=2, peak_bytes=3),
    PeakMeasured: PeakMeasured(allocated_bytes=1),
    CheckpointSaved: CheckpointSaved(step=1, path="p", size_bytes=1),
    AdapterSaved: AdapterSaved(path="p", size_bytes=1),
    Noted: Noted(text="n"),
    Queued: Queued(device="cpu"),
    Adjusted: Adjusted(name="micro_batch", before=4, after=2, because="b", by="recovery"),
    MemoryRanOut: MemoryRanOut(proof="exception", message="m"),
    Marked: Marked(step=1, text="m"),
    Ended: Ended(reason="finished"),
}


@st.composite
def histories(draw: st.DrawFn) -> list[AnyEvent]:
    kinds = draw(st.lists(st.sampled_from(list(SAMPLES.values())), max_size=60))
    history, now, step = [], 1000.0, 0
    for event in kinds:
        now += draw(st.integers(0, 5))
        changes: dict[str, object] = {"t": now}
        if isinstance(event, StepCompleted):
            step += draw(st.integers(1, 3))
            changes["step"] = step
        history.append(msgspec.structs.replace(event, **changes))
    return history


def test_the_samples_cover_every_kind() -> None:
    assert {*SAMPLES, Resumed} == set(get_args(AnyEvent))


@given(histories(), st.lists(st.integers(0, 60), max_size=8))
def test_batches_make_no_difference(history: list[AnyEvent], cuts: list[int]) -> None:
    state = RunState()
    borders = [0, *sorted(cuts), len(history)]
    for start, end in pairwise(borders):
        state = fold(state, history[start:end])
    assert state == fold(RunState(), history)


@given(histories())
def test_everything_that_happened_is_in_the_state(history: list[AnyEvent]) -> None:
    state = fold(RunState(), history)

    def of(kind: type) -> tuple[AnyEvent, ...]:
        return tuple(event for event in history if isinstance(event, kind))

    assert state.evaluations == of(Evaluated)
    assert state.samples == of(Sampled)
    assert state.checkpoints == of(CheckpointSaved)
    assert set(of(Noted)) <= set(state.notes)
    for found, kind in (
        (state.started, WorkerStarted),
        (state.data, DataPrepared),
        (state.training, TrainingStarted),
        (state.gauges, GaugesRead),
        (state.allocator, AllocatorRead),
        (state.adapter, AdapterSaved),
        (state.last_step, StepCompleted),
    ):
        assert found == (of(kind)[-1] if of(kind) else None)
    assert state.last_event_at == (history[-1].t if history else None)
    told = (StepCompleted, Evaluated, Sampled, CheckpointSaved, Marked)
    assert state.step == max((event.step for event in history if isinstance(event, told)), default=0)
    last_word = next((event for event in reversed(history) if isinstance(event, Ended | WorkerStarted)), None)
    assert state.ended == (last_word if isinstance(last_word, Ended) else None), "a new worker revives a run"


def test_folding_changes_nothing_in_place() -> None:
    first = fold(RunState(), [SAMPLES[StepCompleted]])
    fold(first, [SAMPLES[StepCompleted], SAMPLES[Ended]])
    assert first.last_step == SAMPLES[StepCompleted]
    assert first.ended is None
    assert fold(first, []) is first


@pytest.mark.parametrize(
    "event",
    [
        AllocatorRead(active_bytes=1, cache_bytes=2, peak_bytes=3, step=50),
        CheckpointSaved(step=50, path="p", size_bytes=1),
        Evaluated(step=50, rows=1, accuracy=0.5),
        Sampled(step=50, answers=()),
        Marked(step=50, text="m"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_run_is_where_its_newest_event_says_though_only_some_steps_are_logged(event: AnyEvent) -> None:
    logged = [StepCompleted(step=step, total_steps=400) for step in (1, 3, 48)]
    state = fold(RunState(), [*logged, event, AllocatorRead(active_bytes=1, cache_bytes=2, peak_bytes=3)])
    assert (state.step, state.total_steps) == (50, 400)
    assert fold(state, [Resumed(step=40, path="p")]).step == 40


def test_a_resumed_run_measures_again_what_lies_beyond_its_checkpoint() -> None:
    begun = [SAMPLES[TrainingStarted], *steps(8, 2.0)]
    kept, lost = Evaluated(step=4, rows=1, accuracy=0.5), Evaluated(step=8, rows=1, accuracy=0.6)
    state = fold(RunState(), [*begun, kept, lost, SAMPLES[WorkerStarted], Resumed(step=5, path="p")])
    assert (state.step, state.last_step, state.evaluations) == (5, None, (kept,))
    assert state.total_steps == 50
    again = fold(state, [StepCompleted(t=200, step=6, total_steps=50)])
    assert again.step == 6


def test_energy_is_summed_while_the_gauges_are_read() -> None:
    drawn = [GaugesRead(t=t, gpu_watts=w) for t, w in ((0, 100.0), (2, 200.0), (4, None), (6, 100.0), (900, 100.0))]
    assert fold(RunState(), drawn).joules == 300.0
    assert fold(RunState(), [GaugesRead(t=0, cpu_percent=1.0)]).joules is None


def test_the_peak_of_the_allocator_outlives_its_process() -> None:
    """A resumed run has a new process, whose counters begin anew."""
    peaks = [AllocatorRead(active_bytes=1, cache_bytes=0, peak_bytes=peak) for peak in (5, 9, 2)]
    state = fold(fold(RunState(), peaks[:2]), [SAMPLES[WorkerStarted], peaks[2]])
    assert (state.allocator, state.allocator_peak_bytes) == (peaks[2], 9)
    assert fold(RunState(), [SAMPLES[GaugesRead]]).allocator_peak_bytes is None


def steps(count: int, seconds: float, every: int = 1) -> list[AnyEvent]:
    return [StepCompleted(t=100 + n * seconds, step=n * every, total_steps=100) for n in range(1, count + 1)]


def test_times_of_a_running_run() -> None:
    state = fold(RunState(), [WorkerStarted(t=50, host="h", pid=1), *steps(10, 2.0)])
    assert state.elapsed_seconds == 70
    assert state.total_steps == 100
    assert state.remaining_seconds == pytest.approx(180)
    assert fold(RunState(), steps(10, 2.0, every=5)).remaining_seconds == pytest.approx(50 * 2 / 5)


def test_the_remaining_time_follows_the_last_twenty_steps() -> None:
    slow = steps(30, 10.0)
    fast = [StepCompleted(t=slow[-1].t + n, step=30 + n, total_steps=100) for n in range(1, 22)]
    assert fold(RunState(), [*slow, *fast]).remaining_seconds == pytest.approx(49)


def test_what_is_not_known_yet() -> None:
    assert RunState().elapsed_seconds is None
    assert RunState().remaining_seconds is None
    assert RunState().total_steps is None
    assert RunState().last_step is None
    assert fold(RunState(), steps(1, 2.0)).remaining_seconds is None
    assert fold(RunState(), [SAMPLES[TrainingStarted]]).total_steps == 50


BEGUN = [WorkerStarted(t=1000, host="h", pid=1), PhaseEntered(t=1001, phase="loading")]
STEPPED = [*BEGUN, StepCompleted(t=1002, step=1, total_steps=9)]


@pytest.mark.parametrize(
    ("events", "alive", "seconds_later", "word"),
    [
        ([], True, 0, "starting"),
        ([], False, 0, "died"),
        ([], None, 0, "unknown"),
        (BEGUN, True, 1, "starting"),
        (STEPPED, True, 1, "running"),
        (STEPPED, True, STALLED_AFTER_SECONDS, "running"),
        (STEPPED, True, STALLED_AFTER_SECONDS + 1, "stalled"),
        (BEGUN, True, STALLED_AFTER_SECONDS + 1, "stalled"),
        (STEPPED, False, 1, "died"),
        (STEPPED, None, 1, "unknown"),
        ([*STEPPED, Ended(t=1003, reason="finished")], False, 9999, "finished"),
        ([*STEPPED, Ended(t=1003, reason="finished")], True, 0, "finished"),
        ([*STEPPED, Ended(t=1003, reason="finished")], None, 0, "finished"),
        ([*STEPPED, Ended(t=1003, reason="stopped")], False, 0, "stopped"),
        ([*STEPPED, Ended(t=1003, reason="paused")], False, 0, "paused"),
        ([*STEPPED, Ended(t=1003, reason="failed")], False, 0, "failed"),
        ([*STEPPED, Ended(t=1003, reason="a newer word")], False, 0, "failed"),
        ([*STEPPED, Ended(t=1003, reason="failed"), WorkerStarted(t=1004, host="h", pid=2)], True, 0, "starting"),
        ([BEGUN[0], Queued(t=1001, device="cpu")], True, 9999, "queued"),
        ([BEGUN[0], Queued(t=1001, device="cpu"), BEGUN[1]], True, 0, "starting"),
    ],
)
def test_the_state_in_one_word(events: list[AnyEvent], alive: bool | None, seconds_later: float, word: str) -> None:
    state = fold(RunState(), events)
    assert status(state, alive=alive, now=(state.last_event_at or 0) + seconds_later) == word
