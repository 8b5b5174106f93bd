"""Compiled passes: one that raises while MLX traces it leaves the model as it was, and training goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import pytest

from kto_tui.backends.mlx import compiled, tracing
from tests.backends.mlx.trainings import (
    RECIPE,
    Step,
    adapters,
    mlx_model,
    mlx_trainer,
    random_windows,
    relative,
    take_steps,
)

NO_MEMORY = "[malloc] Unable to allocate 21474836480 bytes."
KTO = msgspec.structs.replace(RECIPE, gradient_checkpointing=True)
SFT = msgspec.structs.replace(RECIPE, method="sft")


class Raising:
    """Calls ``original``; raises ``error`` instead at the ``at``-th call, and at none if that is 0."""

    def __init__(self, original: Callable[..., Any], at: int, error: Exception) -> None:
        self._original, self._at, self._error = original, at, error
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == self._at:
            raise self._error
        return self._original(*args)


@pytest.mark.parametrize("recipe", [KTO, SFT], ids=["kto", "sft"])
def test_memory_that_runs_out_in_any_trace_of_the_first_step_changes_no_result(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, recipe: Any
) -> None:
    def train(at: int) -> tuple[Raising, list[Step], dict[str, Any]]:
        # Every pass, with and without gradient, ends in it, and comes to it while it is traced and never again.
        raising = Raising(row_sums, at, RuntimeError(NO_MEMORY))
        monkeypatch.setattr(compiled, "row_sums", raising)
        training = mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(1), recipe)
        return raising, take_steps(training, 2), adapters(training)

    row_sums = compiled.row_sums
    counted, whole, tuned = train(0)
    assert counted.calls >= (1 if recipe.method == "sft" else 3)  # reference, policy and gradients
    for at in range(1, counted.calls + 1):
        raised, steps, found = train(at)
        assert raised.calls > counted.calls
        for one, other in zip(whole, steps, strict=True):
            assert abs(one.loss - other.loss) < 5e-6
            assert relative(one.gradients, other.gradients) < 1e-3
        assert relative(tuned, found) < 1e-3


def test_arrays_are_put_back_wherever_they_are() -> None:
    one, two = mx.array(1.0), mx.array(2.0)
    inner = {"one": one, "name": "no array"}
    state: list[Any] = [{"list": [two, inner], "tuple": (two, inner)}, None]

    def fail(_: mx.array) -> mx.array:
        raise ValueError("disturbed")

    with pytest.raises(ValueError, match="disturbed"):
        tracing.compiled(fail, state)(one)
    assert inner["one"] is one
    assert state[0]["list"][0] is state[0]["tuple"][0] is two
    assert state[0]["tuple"][1] is inner


def test_an_update_that_raises_is_taken_again_to_the_same_bits(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mlx_trainer(mlx_model(checkpoint(), SFT), random_windows(1), SFT)
    expected = take_steps(whole, 2)
    disturbed = mlx_trainer(mlx_model(checkpoint(), SFT), random_windows(1), SFT)
    raising = Raising(disturbed.optimizer.apply_single, 3, ValueError("disturbed"))
    monkeypatch.setattr(disturbed.optimizer, "apply_single", raising)
    with pytest.raises(ValueError, match="disturbed"):
        disturbed.take_step()
    assert [step.loss for step in take_steps(disturbed, 2)] == [step.loss for step in expected]
    assert relative(adapters(whole), adapters(disturbed)) == 0
