"""When memory runs out: smaller packs first, then out of the process, and rows last, each with its reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kto_tui.backends.hf.kto.trainer import ExactKTOTrainer
from kto_tui.runs.events import Adjusted
from tests.backends.kto.conftest import Bench, record

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


def limit(trainer: ExactKTOTrainer, too_much: Callable[[Any], bool]) -> None:
    """Let passes over too many (prompt, completion) pairs fail as a full device does."""
    scorer: Any = trainer.step.scorer
    score = scorer._score

    def limited(tree: Any, pairs: Any, shared: Any, *, keep: bool) -> Any:
        if too_much(pairs):
            raise torch.OutOfMemoryError(FULL)
        return score(tree, pairs, shared, keep=keep)

    scorer._score = limited


def beyond(tokens: int) -> Callable[[Any], bool]:
    return lambda pairs: torch.is_grad_enabled() and sum(len(a) + len(b) for a, b in pairs) > tokens


def longest(it: Bench) -> tuple[int, set[int]]:
    """The second largest length, and the lines of the rows longer than that."""
    rows = [row for window in it.prepared.windows for row in window]
    second = sorted({row.length for row in rows})[-2]
    return second, {row.line for row in rows if row.length > second}


def brief(changes: list[Adjusted]) -> list[tuple[str, object, object]]:
    return [(change.name, change.before, change.after) for change in changes]


def test_fewer_rows_at_a_time_give_the_same_step(bench: Callable[..., Bench]) -> None:
    it, told = bench(rows=32), list[Adjusted]()
    trainer = it.exact(8, adjusted=told.append)
    limit(trainer, beyond(150))
    small, whole = record(trainer), record(it.exact(8))
    assert [step.loss for step in small] == pytest.approx([step.loss for step in whole], abs=1e-5)
    assert brief(told) == [("micro_batch", 8, 4)]
    assert told[0].by == "recovery"
    assert told[0].because == "memory ran out; the step stays one of 8 rows"


def test_the_kl_pass_gives_way_before_the_process(bench: Callable[..., Bench]) -> None:
    it, told = bench(rows=16), list[Adjusted]()
    trainer = it.exact(1, adjusted=told.append, arguments={"num_train_epochs": 2})
    limit(trainer, lambda pairs: len(pairs) > 2)
    small, whole = record(trainer), record(it.exact(8, arguments={"num_train_epochs": 2}))
    assert [step.loss for step in small] == pytest.approx([step.loss for step in whole], abs=1e-5)
    assert brief(told) == [("kl_packs", 8, 1)]


def test_without_checkpointing_the_process_is_left_before_a_row_is_touched(bench: Callable[..., Bench]) -> None:
    it, told = bench(rows=32), list[Adjusted]()
    trainer = it.exact(4, adjusted=told.append)
    limit(trainer, beyond(longest(it)[0]))
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        trainer.train()
    assert brief(told) == [("micro_batch", 4, 2), ("micro_batch", 2, 1), ("kl_packs", 8, 1)]


@pytest.mark.parametrize("policy", ["cut", "skip"])
def test_with_checkpointing_one_row_does_not_end_the_run(bench: Callable[..., Bench], policy: str) -> None:
    it, told = bench(rows=32), list[Adjusted]()
    most, lines = longest(it)
    options = {"num_train_epochs": 2, "gradient_checkpointing": True}
    trainer = it.exact(1, adjusted=told.append, long_rows=policy, arguments=options)
    limit(trainer, beyond(most))
    steps = record(trainer)
    assert len(steps) == 2 * len(it.prepared.windows)
    rows = [change for change in told if change.name.startswith("tokens of line ")]
    assert {int(change.name.split()[-1]) for change in rows} == lines, "each once, not once an epoch"
    assert all(change.before is not None and change.before > most for change in rows)  # type: ignore[operator]
    assert all(f"so far: {number}" in change.because for number, change in enumerate(rows, start=1))
    if policy == "skip":
        assert all((change.after, "left out" in change.because) == (0, True) for change in rows)


def test_what_one_row_cannot_do_without_leaves_the_process(bench: Callable[..., Bench]) -> None:
    told = list[Adjusted]()
    trainer = bench(rows=32).exact(1, adjusted=told.append, arguments={"gradient_checkpointing": True})
    limit(trainer, beyond(0))
    with pytest.raises(torch.OutOfMemoryError):
        trainer.train()
    assert told[-1].because.endswith("so far: 7"), "it tried every row of the window but the last"


def test_other_errors_are_not_taken_for_it(bench: Callable[..., Bench]) -> None:
    told = list[Adjusted]()
    trainer = bench(rows=16).exact(4, adjusted=told.append)

    def broken(*_: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    trainer.step.run = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.train()
    assert told == []
