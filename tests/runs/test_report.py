"""A run in words, checked on the event log of a real recorded run."""

from pathlib import Path

import pytest

from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import (
    AllocatorRead,
    Answer,
    Evaluated,
    GaugesRead,
    PeakMeasured,
    Sampled,
    StepCompleted,
)
from kto_tui.runs.report import answers_side_by_side, event_line, step_line, summary_lines
from kto_tui.runs.state import RunState, fold
from kto_tui.units import GIB

RECORDED = Path(__file__).parents[2] / "screenshots" / "recorded" / "warm-dove" / "events.jsonl"


@pytest.fixture(scope="module")
def recorded() -> RunState:
    return fold(RunState(), Tail(RECORDED).read())


def test_every_recorded_event_becomes_a_line_without_python_in_it(recorded: RunState) -> None:
    lines = [line for event in Tail(RECORDED).read() if (line := event_line(event, recorded)) is not None]
    assert len(lines) > 40
    assert not [line for line in lines if "None" in line or "nan" in line or "Struct" in line]


def test_the_summary_gives_no_accuracy_before_training(recorded: RunState) -> None:
    """Rewards are 0 by definition before the first step, so a number there would be invented."""
    accuracy = next(line for line in summary_lines(recorded) if "accuracy" in line)
    assert "before —" in accuracy
    assert f"{recorded.evaluations[-1].accuracy:.0%}" in accuracy


def test_three_answers_stand_side_by_side(recorded: RunState) -> None:
    rows = answers_side_by_side(recorded)
    assert len(rows) == 3
    base = recorded.samples[0].answers[0]
    assert rows[0][0] == base.prompt
    assert rows[0][1].endswith("[...]") is not base.finished


def test_a_run_without_samples_or_evaluation_has_nothing_to_say() -> None:
    assert summary_lines(RunState()) == []
    assert answers_side_by_side(RunState()) == []
    assert summary_lines(RunState(samples=(Sampled(step=0, answers=(Answer("p", "t", finished=True),)),))) == []


def test_unknown_values_are_drawn_as_unknown() -> None:
    line = step_line(StepCompleted(step=1, total_steps=2), RunState())
    assert "memory unknown" in line
    assert "loss –" in line
    only_one_label = Evaluated(step=1, rows=3, accuracy=None)
    assert "–" in (event_line(only_one_label, RunState()) or "")


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        (PeakMeasured(allocated_bytes=4 * GIB), ["measured 4.0 GiB"]),
        (
            PeakMeasured(allocated_bytes=4 * GIB, predicted_bytes=5 * GIB, outside_bytes=GIB // 2),
            ["predicted 5.0 GiB", "measured 4.0 GiB (-20%)", "512 MiB besides"],
        ),
    ],
)
def test_the_measured_peak_stands_beside_the_predicted_one(peak: PeakMeasured, words: list[str]) -> None:
    state = fold(RunState(), [peak])
    assert event_line(peak, state) == f"peak memory {', '.join(words)}"
    assert state.notes == (peak,), "the live screen tells it"
    line = summary_lines(state)[-1]
    assert line.split() == ["Peak", "memory", *" ".join(words).split()]
    assert line.index(words[0]) == len("Held-out reward accuracy  "), "under the other figures"


def test_what_the_allocator_holds_stands_beside_the_memory_of_the_process() -> None:
    one = AllocatorRead(active_bytes=5 * GIB, cache_bytes=GIB, peak_bytes=7 * GIB)
    state = fold(RunState(), [GaugesRead(process_bytes=2 * GIB), one])
    line = step_line(StepCompleted(step=1, total_steps=2), state)
    assert "memory 2.0 GiB, allocator 5.0 GiB" in line
    assert summary_lines(state) == ["Peak of the allocator     7.0 GiB"]
    assert event_line(one, state) is None
