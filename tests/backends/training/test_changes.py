"""Changes from the control file: taken up once, recorded once, refused in a note."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kto_tui.backends.base import Job
from kto_tui.backends.training.changes import Changes
from kto_tui.backends.training.intervals import Intervals
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import ControlReader, Request, request
from kto_tui.runs.events import Adjusted, AnyEvent, Marked, Noted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.state import RunState, fold


@pytest.fixture
def told() -> list[AnyEvent]:
    return []


@pytest.fixture
def look(tmp_path: Path, told: list[AnyEvent]) -> Callable[..., tuple[Changes, ControlReader]]:
    """Changes as a new process of the run sees them."""

    def build(known: RunState | None = None) -> tuple[Changes, ControlReader]:
        run, reader = RunFolder(tmp_path), ControlReader(tmp_path / "control.jsonl")
        config = RunConfig(model="m", data="d", recipe=Recipe(log_every=2))
        job = Job(run, config, told.append, reader.latest, lambda: reader.settings, reader.marks)
        return Changes(job, known or RunState()), reader

    return build


def ask(folder: Path, name: str, value: object) -> None:
    request(folder / "control.jsonl", Request(action="set", name=name, value=value))  # type: ignore[arg-type]


def test_a_change_is_in_force_and_on_record_once(
    look: Callable[..., tuple[Changes, ControlReader]], told: list[AnyEvent], tmp_path: Path
) -> None:
    changes, _ = look()
    assert changes.look(1) == set()
    ask(tmp_path, "log_every", 5)
    ask(tmp_path, "learning_rate_scale", 0.5)
    assert changes.look(2) == {"log_every", "learning_rate_scale"}
    assert changes.look(3) == set()
    assert (changes.intervals.log_every, changes.learning_rate_scale) == (5, 0.5)
    assert told == [
        Adjusted(name="log_every", before=2, after=5, because="asked for at step 2", by="person"),
        Adjusted(name="learning_rate_scale", before=1.0, after=0.5, because="asked for at step 2", by="person"),
    ]


def test_a_resumed_run_takes_up_what_was_asked_without_recording_it_again(
    look: Callable[..., tuple[Changes, ControlReader]], told: list[AnyEvent], tmp_path: Path
) -> None:
    ask(tmp_path, "sample_prompts", ("Why?",))
    ask(tmp_path, "stop_after", 9)
    look()[0].look(4)
    recorded = fold(RunState(), told)
    ask(tmp_path, "stop_after", 12)
    changes, _ = look(recorded)
    assert changes.look(4) == {"sample_prompts", "stop_after"}
    assert (changes.sample_prompts, changes.stop_after) == (("Why?",), 12)
    assert [(one.name, one.after) for one in told[2:] if isinstance(one, Adjusted)] == [("stop_after", 12)]


def test_what_cannot_be_is_noted_once_and_changes_nothing(
    look: Callable[..., tuple[Changes, ControlReader]], told: list[AnyEvent], tmp_path: Path
) -> None:
    changes, _ = look()
    for name, value in (("beta", 0.3), ("log_every", 0), ("learning_rate_scale", "fast"), ("total", 3)):
        ask(tmp_path, name, value)
    with (tmp_path / "control.jsonl").open("a") as file:
        file.write("{}\nnot json\n\x00\n")
    assert changes.look(1) == changes.look(2) == set()
    assert len(told) == 4
    assert all(isinstance(event, Noted) and event.text.startswith("Not changed: ") for event in told)
    assert changes.intervals == Intervals.of(Recipe(log_every=2))


def test_marks_are_recorded_at_their_step(
    look: Callable[..., tuple[Changes, ControlReader]], told: list[AnyEvent], tmp_path: Path
) -> None:
    changes, _ = look()
    request(tmp_path / "control.jsonl", Request(action="mark", text="new data from here"))
    changes.look(7)
    changes.look(8)
    again, _ = look(fold(RunState(), told))
    again.look(5)
    request(tmp_path / "control.jsonl", Request(action="mark", text="new data from here"))
    again.look(6)
    assert told == [Marked(step=7, text="new data from here"), Marked(step=6, text="new data from here")]


@pytest.mark.parametrize(
    ("total", "evaluations", "samples"),
    [
        (6, [], []),
        (20, [10], [10]),
        (40, [14, 28], [20]),
        (30, [10, 20], [15]),
        (1000, [334, 668], [500]),
    ],
)
def test_automatic_intervals_are_thirds_and_halves(total: int, evaluations: list[int], samples: list[int]) -> None:
    intervals = Intervals.of(Recipe())
    intervals.total = total
    on_the_way = range(1, total)
    assert [step for step in on_the_way if intervals.evaluates(step)] == evaluations
    assert [step for step in on_the_way if intervals.samples(step)] == samples


def test_points_of_the_curves_begin_with_the_first_step() -> None:
    intervals = Intervals.of(Recipe(log_every=4, eval_every=3, sample_every=5))
    assert [step for step in range(1, 13) if intervals.logs(step)] == [1, 4, 8, 12]
    assert [step for step in range(1, 13) if intervals.evaluates(step)] == [3, 6, 9, 12]
    assert [step for step in range(1, 13) if intervals.samples(step)] == [5, 10]
