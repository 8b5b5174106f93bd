"""Puts together what takes the steps of a run: passes over the model, the method's step, the trainer."""

import os
from pathlib import Path

import mlx.core as mx
import mlx_lm

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.checkpointing import checkpoint_layers
from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.device import Device, release
from kto_tui.backends.mlx.lora import reference_of
from kto_tui.backends.mlx.model import Base
from kto_tui.backends.mlx.ranks import Ranks
from kto_tui.backends.mlx.step import WITH_CHECKPOINTING, WITHOUT_GRADIENT, KtoStep, SftStep, Step
from kto_tui.backends.mlx.trainer import Trainer
from kto_tui.backends.training.guards import StepGuard
from kto_tui.backends.training.memory_relief import MemoryRelief
from kto_tui.backends.training.reference import ReferenceCache, cache_key, kernels_fingerprint, model_fingerprint
from kto_tui.backends.training.rows import PreparedRows
from kto_tui.methods.kto_loss import LossSettings
from kto_tui.paths import cache_home
from kto_tui.recipe import Recipe
from kto_tui.runs.events import Noted


def build_trainer(
    job: Job, base: Base, rows: PreparedRows, device: Device, folder: Path, ranks: Ranks
) -> tuple[Trainer, Passes]:
    """The trainer of ``job``, and the passes it shares with the held-out scores.

    Args:
        job: the run.
        base: with adapters attached.
        rows: prepared.
        device: what it runs on.
        folder: where the base model was read from; identifies the reference.
        ranks: processes that share each window.
    """
    recipe, model = job.config.recipe, base.model
    passes = Passes(model, base.vocabulary, reference_of(model))
    if recipe.gradient_checkpointing:
        checkpoint_layers(model)
    settings = LossSettings(recipe.beta, recipe.loss_type, rows.desirable_weight, rows.undesirable_weight)
    cache = ReferenceCache(_reference_file(folder, rows, recipe, device, ranks))
    step = step_of(recipe, passes, settings, cache, ranks)
    guard = StepGuard(lambda text: job.emit(Noted(text=text)), learning_rate=recipe.learning_rate)
    relief = MemoryRelief(
        job.emit, long_rows=recipe.long_rows, checkpointing=recipe.gradient_checkpointing, release=release
    )
    return Trainer(model, rows.windows, step, recipe, settings, guard, relief, ranks), passes


def step_of(recipe: Recipe, passes: Passes, settings: LossSettings, cache: ReferenceCache, ranks: Ranks) -> Step:
    """What computes a window under the recipe's method."""
    if recipe.method == "sft":
        return SftStep(
            passes,
            micro_batch=recipe.micro_batch,
            completion_only=recipe.completion_only_loss,
            add_up=ranks.add_up,
        )
    return KtoStep(
        passes,
        settings,
        cache=cache,
        micro_batch=recipe.micro_batch,
        add_up=ranks.add_up,
        room=WITH_CHECKPOINTING if recipe.gradient_checkpointing else WITHOUT_GRADIENT,
    )


def _reference_file(folder: Path, rows: PreparedRows, recipe: Recipe, device: Device, ranks: Ranks) -> Path | None:
    """Where the reference scores of these rows under this model are kept, told apart by all they depend on."""
    if recipe.method == "sft":
        return None
    key = cache_key(
        {
            "model": model_fingerprint(folder),
            "rows": rows.fingerprint,
            "rank": f"{ranks.rank} of {ranks.size}",
            "quantization": recipe.quantization,
            "precision": device.precision,
            "device": f"mlx {device.type} {mx.device_info().get('device_name', '')}",
            "blas": os.environ.get("OPENBLAS_NUM_THREADS", ""),
            "mlx": mx.__version__,
            "mlx-lm": mlx_lm.__version__,
            "kernels": kernels_fingerprint(Path(__file__).parent),
        }
    )
    return cache_home() / "reference" / f"{key}.jsonl"
