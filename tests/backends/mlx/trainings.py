"""Trainings of tiny models under MLX, recorded step by step; knows no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
from mlx.utils import tree_flatten

from kto_tui.backends.mlx.building import step_of
from kto_tui.backends.mlx.checkpointing import checkpoint_layers
from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.device import Device
from kto_tui.backends.mlx.lora import attach, reference_of
from kto_tui.backends.mlx.model import load_base
from kto_tui.backends.mlx.ranks import Ranks
from kto_tui.backends.mlx.trainer import Trainer
from kto_tui.backends.training.guards import StepGuard
from kto_tui.backends.training.memory_relief import MemoryRelief
from kto_tui.backends.training.reference import ReferenceCache
from kto_tui.data.prepare import PreparedRow, Window
from kto_tui.methods.kto_loss import LossSettings
from kto_tui.recipe import Recipe

FP32 = Device("cpu", mx.float32, "fp32")
# As tests.backends.kto.conftest.Bench.arguments.
RECIPE = Recipe(
    learning_rate=5e-3, schedule="constant", lora_rank=4, lora_alpha=8, effective_batch=8, micro_batch=8, epochs=3,
    max_length=48, warmup=0.0,
)  # fmt: skip
SETTINGS = LossSettings(beta=0.1, loss_type="kto", desirable_weight=1.3, undesirable_weight=0.8)


def mlx_model(folder: Path, recipe: Recipe = RECIPE) -> Any:
    """A base model with fresh adapters."""
    base = load_base(folder, recipe, FP32, str(folder))
    attach(base.model, recipe)
    return base.model


def mlx_trainer(
    model: Any,
    windows: Sequence[Window],
    recipe: Recipe = RECIPE,
    settings: LossSettings = SETTINGS,
    *,
    vocabulary: int = 400,
) -> Trainer:
    """A trainer on ``windows`` whose reference scores stay in memory."""
    passes, ranks = Passes(model, vocabulary, reference_of(model)), Ranks()
    if recipe.gradient_checkpointing:
        checkpoint_layers(model)
    step = step_of(recipe, passes, settings, ReferenceCache(), ranks)
    guard = StepGuard(lambda _: None, learning_rate=recipe.learning_rate)
    relief = MemoryRelief(lambda _: None, long_rows="cut", checkpointing=False)
    return Trainer(model, windows, step, recipe, settings, guard, relief, ranks)


def random_windows(count: int, *, rows: int = 8, seed: int = 0) -> list[Window]:
    """Windows of random ids, rotated into mismatched pairs; the last one has three rows less."""
    random = np.random.default_rng(seed)
    windows = []
    for window in range(count):
        size = rows - 3 * (window == count - 1)
        lengths = sorted(random.integers(4, 20, size))
        texts = [tuple(random.integers(5, 250, length).tolist()) for length in lengths]
        made = [
            PreparedRow(row, row % 3 != 0, texts[row][: length // 3], texts[row][length // 3 :], texts[row - 1][2:])
            for row, length in enumerate(lengths)
        ]
        windows.append(tuple(made))
    return windows


def uneven_windows() -> list[Window]:
    """Windows of eight rows, five and one: two processes share them evenly, unevenly, and as one that has none."""
    return random_windows(2) + random_windows(1, rows=4)


class Step(msgspec.Struct):
    """Loss, gradients by PEFT's names, and figures of one step."""

    loss: float
    gradients: dict[str, np.ndarray[Any, Any]]
    logs: dict[str, float]


def peft_names(tree: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Adapter arrays, or their gradients, by PEFT's names and in its layout."""
    found = {}
    for name, each in tree_flatten(tree):
        layer, part = name.rsplit(".", 1)
        if part == "m":
            found[f"base_model.model.{layer}.lora_magnitude_vector.default.weight"] = np.array(each)
        else:
            found[f"base_model.model.{layer}.lora_{part[-1].upper()}.default.weight"] = np.array(each).T
    return found


def take_steps(trainer: Trainer, count: int | None = None) -> list[Step]:
    """Train, and return every step."""
    steps = []
    original = trainer.step.run

    def run(share: Any) -> Any:
        result = original(share)
        steps.append(Step(result.loss, peft_names(result.gradients), {}))
        return result

    trainer.step.run = run  # type: ignore[method-assign]
    for _ in range(trainer.total_steps - trainer.progress.step if count is None else count):
        trainer.take_step()
        steps[-1].logs = trainer.take_point()
    return steps


def adapters(trainer: Trainer) -> dict[str, np.ndarray[Any, Any]]:
    """As they are now, by PEFT's names."""
    return peft_names(trainer.model.trainable_parameters())


def relative(one: dict[str, np.ndarray[Any, Any]], other: dict[str, np.ndarray[Any, Any]]) -> float:
    """L2 norm of the difference, relative to that of ``one``."""
    assert one.keys() == other.keys()
    difference = sum(float(((one[name] - other[name]) ** 2).sum()) for name in one)
    return (difference / sum(float((one[name] ** 2).sum()) for name in one)) ** 0.5
