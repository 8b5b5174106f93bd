"""What one bad step does to a training on MLX: smaller packs where memory ran out, nothing learnt from no number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx.utils import tree_flatten

from kto_tui.backends.faults import TrainingError, is_out_of_memory
from kto_tui.backends.mlx import step
from kto_tui.runs.events import Adjusted
from tests.backends.mlx.trainings import (
    RECIPE,
    SETTINGS,
    adapters,
    mlx_model,
    mlx_trainer,
    random_windows,
    relative,
    take_steps,
)

# As MLX's library for macOS words it; no Mac has said it here.
METAL = "[metal::malloc] Attempting to allocate 21474836480 bytes which is greater than the maximum allowed buffer size"


@pytest.mark.parametrize("method", ["kto", "sft"])
def test_when_memory_runs_out_the_step_is_taken_in_smaller_packs(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    recipe = msgspec.structs.replace(RECIPE, method=method)
    whole = take_steps(mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe), 3)
    trainer = mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe)
    told: list[Adjusted] = []
    monkeypatch.setattr(trainer.relief, "_told", told.append)
    original = trainer.step.run

    def run(share: Any) -> Any:
        if trainer.step.micro_batch > 2:
            raise RuntimeError(METAL)
        return original(share)

    monkeypatch.setattr(trainer.step, "run", run)
    assert is_out_of_memory(RuntimeError(METAL))
    smaller = take_steps(trainer, 3)
    assert [(change.name, change.before, change.after) for change in told] == [
        ("micro_batch", 8, 4),
        ("micro_batch", 4, 2),
    ]
    for one, other in zip(whole, smaller, strict=True):
        assert abs(one.loss - other.loss) < 5e-6
        assert relative(one.gradients, other.gradients) < 1e-3


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", ["kto", "sft"])
def test_a_pass_that_memory_does_not_hold_leaves_nothing_in_the_adapters(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, checkpointing: bool
) -> None:
    recipe = msgspec.structs.replace(RECIPE, method=method, gradient_checkpointing=checkpointing)
    whole = take_steps(mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe), 3)
    trainer = mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe)
    original, drawn = step._add, tmp_path / "graph"

    def add(*args: Any) -> Any:
        # Nothing of the pass has been computed yet, as when Metal refuses an array in the middle of it.
        if not drawn.exists():
            arrays = [each for _, each in tree_flatten(trainer.model.trainable_parameters())]
            mx.export_to_dot(str(drawn), *arrays)
            raise RuntimeError(METAL)
        return original(*args)

    monkeypatch.setattr(step, "_add", add)
    smaller = take_steps(trainer, 3)
    assert "label" not in drawn.read_text(), "the adapters wait for what memory did not hold"
    assert trainer.step.micro_batch == 4
    assert all(abs(one.loss - other.loss) < 5e-6 for one, other in zip(whole, smaller, strict=True))


def test_a_step_without_a_number_teaches_nothing_and_the_third_ends_the_run(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = mlx_trainer(mlx_model(checkpoint()), random_windows(2))
    trainer.take_step()
    before = {name: each.copy() for name, each in adapters(trainer).items()}
    original = trainer.step.run
    monkeypatch.setattr(trainer.step, "run", lambda share: msgspec.structs.replace(original(share), loss=float("nan")))
    for _ in range(2):
        trainer.take_step()
    assert all(np.array_equal(each, before[name]) for name, each in adapters(trainer).items())
    assert np.isnan(trainer.take_point()["loss"])
    with pytest.raises(TrainingError, match="not a finite number for 3 steps in a row"):
        trainer.take_step()


def test_a_run_of_sft_without_a_number_ends_with_advice_whatever_beta_is(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = msgspec.structs.replace(RECIPE, method="sft", beta=2.0)
    settings = msgspec.structs.replace(SETTINGS, beta=2.0)
    trainer = mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe, settings)
    original = trainer.step.run
    monkeypatch.setattr(trainer.step, "run", lambda share: msgspec.structs.replace(original(share), loss=float("nan")))
    with pytest.raises(TrainingError, match="for 3 steps in a row") as caught:
        take_steps(trainer, 3)
    assert "Lower learning_rate" in caught.value.mend
