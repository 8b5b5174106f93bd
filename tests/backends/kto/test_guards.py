"""A step that is not finite is skipped, and three in a row end the run."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch

from kto_tui.backends.faults import TrainingError
from tests.backends.kto.conftest import Bench

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


def poison(trainer: Any, steps: set[int], value: float = float("nan")) -> None:
    """Spoil the gradients of some steps after their backward pass."""
    original = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = original(*args, **kwargs)
        if trainer.state.global_step in steps:
            next(p for p in trainer.model.parameters() if p.grad is not None).grad.fill_(value)
        return loss

    trainer.training_step = training_step


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_two_bad_steps_are_skipped_and_noted(bench: Callable[..., Bench], value: float) -> None:
    it = bench()
    notes: list[str] = []
    trainer = it.exact(note=notes.append, arguments={"num_train_epochs": 1})
    poison(trainer, {1, 2}, value)
    trainer.train()
    assert trainer.state.global_step == 6
    assert torch.isfinite(weights(trainer)).all()
    assert len(notes) == 2
    lines = sorted(row.line for row in it.prepared.windows[1])
    assert all(str(line) in notes[0] for line in lines)


def test_a_skipped_step_changes_no_weight(bench: Callable[..., Bench]) -> None:
    it = bench()
    trainer = it.exact(arguments={"max_steps": 1})
    before = weights(trainer).clone()
    poison(trainer, {0})
    trainer.train()
    assert torch.equal(weights(trainer), before)


def test_three_bad_steps_in_a_row_end_the_run_with_advice(bench: Callable[..., Bench]) -> None:
    trainer = bench().exact(arguments={"num_train_epochs": 1})
    poison(trainer, {0, 2, 3, 4})
    with pytest.raises(TrainingError, match="3 steps in a row") as caught:
        trainer.train()
    assert trainer.state.global_step == 4
    assert caught.value.cause == "not_finite"
    assert "learning_rate" in str(caught.value)
    assert "lines" in str(caught.value)


def test_a_learning_rate_that_explodes_ends_with_the_learning_rate(bench: Callable[..., Bench]) -> None:
    trainer = bench().exact(arguments={"learning_rate": 1e30, "max_grad_norm": 0.0})
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer.train()


def test_a_base_model_without_a_finite_score_is_named(bench: Callable[..., Bench]) -> None:
    it = bench()
    model = it.model()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="base model itself"):
        it.exact(model=model).train()


def test_a_loss_that_is_no_number_is_a_gap_in_the_curve_and_no_more(bench: Callable[..., Bench]) -> None:
    trainer = bench().exact(arguments={"num_train_epochs": 1})
    run = trainer.step.run

    def spoiled(*args: Any) -> Any:
        result = run(*args)
        broken = trainer.state.global_step == 1
        return msgspec.structs.replace(result, loss=result.loss * float("nan")) if broken else result

    trainer.step.run = spoiled
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [math.isfinite(loss) for loss in losses] == [True, False, True, True, True, True]
