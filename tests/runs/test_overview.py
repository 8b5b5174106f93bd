"""The list of runs reads what is new and no more, and says the same whether it remembers or not."""

import time
from pathlib import Path

import pytest

from kto_tui.runs import overview
from kto_tui.runs.about import change_about
from kto_tui.runs.curves import Series
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import (
    Ended,
    Evaluated,
    Resumed,
    Sampled,
    WorkerStarted,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.heldout_words import highest_known
from kto_tui.runs.identity import own_identity, write_identity
from kto_tui.runs.overview import SHAPE_POINTS, Overview, shape, summarise
from tests.runs.made import made_run, step, write

BEGUN = WorkerStarted(host="h", pid=1, t=1000.0)


def finished(name: str, *, age: int = 0) -> RunFolder:
    events = [
        BEGUN,
        step(1, margin=0.1),
        Evaluated(step=1, rows=9, accuracy=0.9),
        step(2, 0.25, margin=0.3),
        Evaluated(step=2, rows=9, accuracy=0.8),
        Ended(reason="finished", t=1010.0),
    ]
    return made_run(name, events, age=age)


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of event logs were read, one number a look."""
    looked: list[int] = []
    lines = Tail._lines

    def counted(self: Tail, budget_bytes: int) -> list[bytes]:
        found = lines(self, budget_bytes)
        looked.append(sum(len(line) + 1 for line in found))
        return found

    monkeypatch.setattr(Tail, "_lines", counted)
    return looked


def test_a_line_says_what_the_run_achieved() -> None:
    run = finished("bold-fox")
    change_about(run.about, title="Polite", tags=("lr",), note="first")
    (run.path / "adapter").mkdir()
    (run.path / "adapter" / "weights").write_bytes(bytes(5000))
    (one,) = Overview().refresh()
    assert (one.id, one.state, one.step, one.loss) == ("bold-fox", "finished", 2, 0.25)
    assert (one.heldout_best, one.heldout_accuracy) == (0.9, 0.8)
    assert (one.shape_of, one.shape) == ("margin", (0.1, 0.3))
    assert (one.title, one.tags, one.note) == ("Polite", ("lr",), "first")
    assert one.size_bytes == sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()) > 5000
    assert "polite" in one.words
    assert one == summarise(run)


def test_without_a_margin_the_loss_is_drawn_and_without_a_loss_nothing() -> None:
    assert (summarise(made_run("bold-fox", [step(1), step(2, None)])).shape) == (0.5, None)
    assert summarise(made_run("calm-owl", [BEGUN])).shape == ()
    empty = summarise(made_run("wise-cat"))
    assert (empty.state, empty.heldout_best, empty.loss, empty.total_steps) == ("died", None, None, None)


def test_runs_come_newest_first() -> None:
    for at, name in enumerate(("bold-fox", "calm-owl", "wise-cat")):
        finished(name, age=at)
    assert [one.id for one in Overview().each()] == ["bold-fox", "calm-owl", "wise-cat"]


def test_what_was_read_is_not_read_again(read_bytes: list[int]) -> None:
    run = finished("bold-fox")
    first, second = Overview(), Overview()
    before = first.refresh()
    assert sum(read_bytes) == run.events.stat().st_size
    read_bytes.clear()
    assert first.refresh() == before
    assert second.refresh() == before, "read for itself: it looked before the other had written its findings"
    read_bytes.clear()
    assert Overview().refresh() == before
    assert sum(read_bytes) == 0, "another program has them from the cache"


def test_of_a_run_that_lives_only_new_lines_are_read(read_bytes: list[int]) -> None:
    run = made_run("bold-fox", [BEGUN, *(step(number, total=900) for number in range(1, 500))])
    write_identity(run.identity, own_identity())
    found = Overview()
    assert found.refresh()[0].step == 499
    read_bytes.clear()
    more = [step(500, total=900, margin=1.0), Resumed(step=499), step(500, 0.1, total=900)]
    size = run.events.stat().st_size
    write(run, more)
    (one,) = found.refresh()
    assert sum(read_bytes) == run.events.stat().st_size - size
    assert (one.step, one.loss, one.shape_of) == (500, 0.1, "loss"), "what the resumed run took back is gone"


def test_a_run_that_goes_on_after_it_was_over_is_read_anew() -> None:
    run, found = finished("bold-fox"), Overview()
    found.refresh()
    write(run, [WorkerStarted(host="h", pid=2, t=1020.0), Resumed(step=1), step(2, 0.1, margin=0.4)])
    assert [(one.state, one.loss, one.heldout_accuracy) for one in found.refresh()] == [("died", 0.1, 0.9)]
    assert found.refresh() == Overview().refresh()


def test_a_deleted_run_is_forgotten(home: Path) -> None:
    run, found = finished("bold-fox"), Overview()
    finished("calm-owl", age=1)
    found.refresh()
    assert b"bold-fox" in (home / "cache" / "runs.json").read_bytes()
    run.path.rename(home / "elsewhere")
    assert [one.id for one in found.refresh()] == ["calm-owl"]
    assert b"bold-fox" not in (home / "cache" / "runs.json").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":"0","digests":{}}', b"\xff\xfe", b'{"version":3}'])
def test_a_damaged_or_older_cache_is_read_over(home: Path, damage: bytes) -> None:
    finished("bold-fox")
    expected = Overview().refresh()
    (home / "cache" / "runs.json").write_bytes(damage)
    assert Overview().refresh() == expected


def test_a_log_that_was_put_back_shorter_is_read_from_its_beginning() -> None:
    run, found = made_run("bold-fox", [BEGUN, step(1), step(2)]), Overview()
    write_identity(run.identity, own_identity())
    found.refresh()
    run.events.unlink()
    write(run, [step(1, 0.2)])
    assert [(one.step, one.loss) for one in found.refresh()] == [(1, 0.2)]


def test_answers_and_notes_do_not_stay_in_memory() -> None:
    from kto_tui.runs.events import Answer

    answers = Sampled(step=1, answers=(Answer("p" * 9000, "t" * 9000, finished=True),))
    run = made_run("bold-fox", [BEGUN, step(1), *[answers] * 50, Ended(reason="finished")])
    found = Overview()
    found.refresh()
    (digest,) = found._digests.values()
    assert digest.state.samples == ()
    assert run.events.stat().st_size > 900_000
    assert (found._file).stat().st_size < 5000


def test_a_size_that_cannot_be_counted_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Path) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(overview, "folder_bytes", gone)
    assert summarise(finished("bold-fox")).size_bytes is None


def test_a_shape_has_few_points_whatever_the_length() -> None:
    series = Series()
    for x in range(10_000):
        series.add(x, None if 4000 <= x < 6000 else float(x))
    points = shape(series)
    assert len(points) <= SHAPE_POINTS
    known = [point for point in points if point is not None]
    assert known == sorted(known)
    assert None in points
    assert points[0] == pytest.approx(sum(range(10_000 // len(points))) / (10_000 // len(points)), rel=0.2)


def test_the_best_of_what_is_known() -> None:
    assert highest_known([0.5, None, 0.7, 0.6]) == 0.7
    assert highest_known([None]) is highest_known([]) is None


def test_two_hundred_runs_are_listed_at_once() -> None:
    """After the first look; generous here, machines are shared. Measured: 25 ms."""
    events = [BEGUN, *(step(number, margin=0.1) for number in range(1, 50)), Ended(reason="finished")]
    for number in range(200):
        made_run(f"run-{number}", events)
    found = Overview()
    assert len(found.refresh()) == 200
    begin = time.perf_counter()
    found.refresh()
    assert time.perf_counter() - begin < 1.0
