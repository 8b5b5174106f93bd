"""The header, and the stretch of x that the charts show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.runs.events import (
    AllocatorRead,
    CheckpointSaved,
    Evaluated,
    GaugesRead,
    PhaseEntered,
    Resumed,
    StepCompleted,
    WorkerStarted,
)
from kto_tui.runs.state import RunState, fold
from kto_tui.tui.live_header import progress, title
from kto_tui.tui.x_view import XView

BEGIN = WorkerStarted(t=1000.0, host="box", pid=1)


def going(step: int, total: int, *, watts: float | None = None, phase: str = "training") -> RunState:
    return fold(
        RunState(),
        [
            BEGIN,
            Resumed(t=1000.0, step=2),
            PhaseEntered(t=1000.0, phase=phase),
            *(GaugesRead(t=1000.0 + 2 * n, gpu_watts=watts) for n in range(50)),
            *(
                StepCompleted(t=1000.0 + 10 * n, step=n, total_steps=total, epoch=n / 100, tokens_per_second=412.0)
                for n in range(max(1, step - 30), step + 1)
            ),
        ],
    )


@given(st.integers(80, 240), st.integers(2, 10**6), st.integers(1, 10**6), st.none() | st.floats(1, 1e6), st.booleans())
def test_the_line_fits_and_keeps_the_most_important(
    width: int, step: int, more: int, watts: float | None, evaluates: bool
) -> None:
    state = going(step, step + more, watts=watts, phase="evaluating" if evaluates else "training")
    line = str(progress(state, "running", 400.0, width))
    assert len(line) <= width
    assert line.startswith(f" step {step}/{step + more} ")
    assert "%" in line
    assert ("evaluating" in line) == evaluates


def test_a_wide_line_says_everything() -> None:
    line = str(progress(going(60, 500, watts=100.0), "running", 400.0, 140))
    for part in ("step 60/500", "12%", "epoch 0.60", "412 tok/s, mean 400", "left 1:13:20", "done ~", "resumed at 2"):
        assert part in line
    assert "2.7 Wh" in line


def test_it_says_where_the_run_is_between_two_points_of_the_curves() -> None:
    read = AllocatorRead(t=1700.0, active_bytes=1, cache_bytes=0, peak_bytes=1, step=75)
    line = str(progress(fold(going(60, 500), [read]), "running", 400.0, 140))
    for part in ("step 75/500", "15%", "epoch 0.75", "412 tok/s"):
        assert part in line
    saved = CheckpointSaved(step=78, path="p", size_bytes=1)
    assert str(progress(fold(going(60, 500), [read, saved]), "paused", None, 80)) == " paused at step 78 of 500"


def test_the_line_stands_still_while_the_figures_change() -> None:
    """A slow line gets the cells that differ: they should be few."""
    lines = [str(progress(going(step, 500), "running", 400.0, 80)) for step in (60, 61, 62, 63)]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert all(sum(a != b for a, b in zip(lines[0], line, strict=True)) < 12 for line in lines)


@pytest.mark.parametrize(
    ("state", "word", "line"),
    [
        (fold(RunState(), [BEGIN]), "starting", " starting ..."),
        (fold(RunState(), [BEGIN, PhaseEntered(phase="loading the model")]), "starting", " loading the model ..."),
        (
            fold(RunState(), [BEGIN, Resumed(step=7), PhaseEntered(phase="loading the model")]),
            "starting",
            " after step 7: loading the model ...",
        ),
        (
            fold(going(60, 500), [Evaluated(step=60, rows=96, accuracy=0.86)]),
            "paused",
            " paused at step 60 of 500, held-out accuracy 86% of 96 rows",
        ),
        (RunState(), "unknown", " unknown at step 0"),
    ],
)
def test_what_there_is_to_say_without_steps_or_at_the_end(state: RunState, word: str, line: str) -> None:
    assert str(progress(state, word, None, 80)) == line  # type: ignore[arg-type]


@given(st.text(max_size=80), st.integers(80, 200))
def test_the_title_is_one_line_with_the_state_at_its_end(run_id: str, width: int) -> None:
    content = title(run_id, None, RunState(), right="RUNNING  01:02 ", width=width)
    assert content.cell_length <= width - 1 or not run_id.isprintable()
    assert str(content).endswith("RUNNING  01:02 ")


MOVES = st.lists(
    st.tuples(st.sampled_from(["in", "out", "turn", "hold", "grow"]), st.floats(0, 500), st.booleans()), max_size=30
)


@given(MOVES)
def test_a_view_stays_on_the_axis_and_shows_what_it_is_asked_to(moves: list[tuple[str, float, bool]]) -> None:
    view = XView(total=500.0, newest=10.0)
    for move, x, around in moves:
        match move:
            case "in" | "out":
                view = view.zoomed(0.5 if move == "in" else 2.0, x if around else None)
            case "turn":
                view = view.turned() if view.length is not None else view
            case "hold":
                view = view.held(x)
            case _:
                view = view.grown(500.0, max(view.newest, x))
        left, right = view.edges
        assert 0 <= left < right <= 500
        assert right - left >= view.smallest - 1e-9
        if move == "hold" or (around and move in {"in", "out"}):
            assert left - 1e-9 <= x <= right + 1e-9
        if view.follows:
            assert left <= view.newest <= right


def test_a_part_that_follows_moves_in_jumps() -> None:
    """At every step it would repaint everything."""
    views = [XView(total=1000.0, newest=float(n), length=100.0).edges for n in range(200, 300)]
    assert len(set(views)) <= 5
