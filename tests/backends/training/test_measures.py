"""Scores and answers when memory runs out: fewer rows at a time, then left out; they never end a training."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.training.measures import Measures
from kto_tui.backends.training.relief import Relieved
from kto_tui.backends.training.rewards import HeldoutRewards
from kto_tui.data.prepare import PreparedRow
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import Adjusted, AnyEvent, Evaluated, Noted, Sampled
from kto_tui.runs.folder import RunFolder

ROWS = [PreparedRow(line, line % 2 == 0, (1,) * line, (2, 3)) for line in range(1, 9)]


class Scorer:
    """Scores a row by its line, and holds ``room`` rows."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.passes: list[int] = []
        self.released = 0

    def __call__(self, rows: Sequence[PreparedRow]) -> list[float]:
        if len(rows) > self.room:
            raise RuntimeError("CUDA out of memory")
        self.passes.append(len(rows))
        return [float(row.line) for row in rows]

    def release(self) -> None:
        self.released += 1


def heldout(scorer: Scorer, told: list[AnyEvent]) -> HeldoutRewards:
    options: dict[str, Any] = {"told": told.append, "release": scorer.release}
    return HeldoutRewards(scorer, ROWS, nullcontext, beta=0.5, max_rows=8, **options)


def job(told: list[AnyEvent], folder: Path) -> Job:
    return Job(RunFolder(folder), RunConfig(model="m", data="d", recipe=Recipe()), told.append, lambda: None)


class Asked:
    """Stands in for the sampler."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def sample(self, step: int) -> Sampled:
        if self.error is not None:
            raise self.error
        return Sampled(step=step, answers=())


def test_held_out_rows_are_scored_with_the_reference_in_equal_passes() -> None:
    told, scorer = list[AnyEvent](), Scorer(room=8)
    rewards = heldout(scorer, told)
    assert rewards.evaluate(1).rows == 8
    scorer.room, scorer.passes = 3, []
    assert rewards.evaluate(2).rows == 8
    assert scorer.passes == [2] * 8, "the reference again, then the policy"
    assert [(one.name, one.before, one.after, one.by) for one in told if isinstance(one, Adjusted)] == [
        ("heldout_rows", 8, 4, "recovery"),
        ("heldout_rows", 4, 2, "recovery"),
    ]
    assert scorer.released == 2
    scorer.passes = []
    rewards.evaluate(3)
    assert scorer.passes == [2] * 4, "what was learnt of memory holds"


def test_a_measure_that_memory_does_not_hold_is_left_out_with_a_note(tmp_path: Path) -> None:
    told = list[AnyEvent]()
    sampler: Any = Asked(RuntimeError("CUDA out of memory"))
    measures = Measures(job(told, tmp_path), heldout(Scorer(room=0), told), sampler)
    measures.evaluate(7)
    measures.sample(7)
    notes = [one.text for one in told if isinstance(one, Noted)]
    assert [("step 7" in text, "memory ran out" in text) for text in notes] == [(True, True)] * 2
    assert not any(isinstance(one, Evaluated | Sampled) for one in told)


def test_a_request_interrupts_and_another_fault_passes(tmp_path: Path) -> None:
    told = list[AnyEvent]()
    sampler: Any = Asked(StopRequested())
    measures = Measures(job(told, tmp_path), None, sampler)
    measures.evaluate(1)
    measures.sample(1)
    assert told == []
    sampler.error = RuntimeError("CUDA error: unspecified launch failure")
    with pytest.raises(RuntimeError, match="launch"):
        measures.sample(2)


def test_one_row_that_is_too_much_gives_up() -> None:
    told = list[Adjusted]()

    def work(rows: int) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        Relieved("sample_rows", 5, told.append, lambda: None).run(work)
    assert [(one.before, one.after) for one in told] == [(5, 2), (2, 1)]
