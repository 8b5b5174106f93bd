"""What a run will need of a machine's memory, how far to trust that, and the verdict against what is free."""

from typing import Literal

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.memory.coefficients import SAME_AS, TRACED
from kto_tui.memory.measured import Correction
from kto_tui.memory.mlx import FITTED, outside_mlx, predict_mlx
from kto_tui.memory.predict import DeviceKind, Parts, Window, predict, worst_row
from kto_tui.memory.process import cpu_outside
from kto_tui.memory.rough import rough
from kto_tui.recipe import Recipe
from kto_tui.units import GIB, MIB, size

Verdict = Literal["FITS", "TIGHT", "NO", "UNKNOWN"]
Quality = Literal["measured", "traced", "fitted", "rough"]
FITS_SHARE, TIGHT_SHARE = 0.85, 0.97
ROUGH = 1.25  # what a rough estimate may be exceeded by
# Median of reserved to allocated bytes over the published measurements with fused attention that state both
# (docs/memory.md); the worst reached 1.22. The caching allocator takes memory in larger pieces than it is asked for.
RESERVED_RATIO = 1.12
# cuBLAS keeps a workspace inside the allocator, twice 8.125 MiB (torch.backends.cuda, CUBLAS_WORKSPACE_CONFIG).
WORKSPACE = 16.25 * MIB
# Outside the allocator: the CUDA context and loaded kernels. Measured ones ran from 0.14 GiB (T4) to 0.7 GiB (A6000),
# so this is an assumption until a run on this machine has measured its own.
CONTEXT = 0.5 * GIB
WORDS = {
    "measured": "traced, corrected by {runs} on this machine",
    "traced": "traced from the training step itself, not measured on this machine yet",
    "rough": "rough, about ±25 %: {what} was not traced",
}
MLX_WORDS = {
    "measured": "fitted to MLX's allocator, corrected by {runs} on this machine",
    "fitted": "fitted to MLX's allocator on processors, not measured on this machine yet",
    "rough": "rough, about ±25 %: this architecture was not measured under MLX",
}
NOT_ON_METAL = "fitted to MLX's allocator on processors, not measured on Metal"


class Estimate(msgspec.Struct, frozen=True):
    """Predicted memory of a training process in bytes.

    Attributes:
        parts: inside the allocator at the worst moment of a step, corrected by measurements.
        outside: outside the allocator: the CUDA context, or on processors Python and its libraries.
        reserved: what the allocator will likely hold of the device in all; equal to ``allocated`` on processors.
        quality: how well the number is founded, in one word.
        note: the same in words.
    """

    parts: Parts
    outside: float
    reserved: float
    quality: Quality
    note: str

    @property
    def allocated(self) -> float:
        """Bytes inside the allocator."""
        return self.parts.total

    @property
    def total(self) -> float:
        """The peak that is held against free memory."""
        return self.allocated + self.outside


def estimate(
    model: ModelSpec,
    recipe: Recipe,
    device: DeviceKind,
    precision: str,
    *,
    window: Window | None = None,
    correction: Correction | None = None,
    backend: str = "hf",
) -> Estimate | None:
    """The memory a run needs; None where the model's shape is unknown.

    Args:
        model: what is trained.
        recipe: how.
        device: where.
        precision: the device's own, for recipes that leave it open.
        window: the rows; the longest that the recipe lets through if None.
        correction: from runs of the backend on the machine.
        backend: who trains; see ``kto_tui.backend_choice``.
    """
    rows = window or worst_row(recipe)
    if backend == "mlx":
        found, measured = _under_mlx(model, recipe, device, rows), MLX_WORDS["measured"]
    else:
        found, measured = _under_trl(model, recipe, device, precision, rows), WORDS["measured"]
    return found if found is None or correction is None else _corrected(found, correction, measured)


def _corrected(found: Estimate, correction: Correction, measured: str) -> Estimate:
    """``found`` as runs measured it; ``measured``: the note on it, unless it is rough and stays so."""
    parts = found.parts.times(correction.factor)
    quality, note = found.quality, found.note
    if quality != "rough":
        quality, note = "measured", measured.format(runs=f"{correction.runs} run{'' if correction.runs == 1 else 's'}")
    outside = found.outside if correction.outside is None else correction.outside
    return Estimate(parts, outside, parts.total * found.reserved / found.allocated, quality, note)


def _under_trl(model: ModelSpec, recipe: Recipe, device: DeviceKind, precision: str, rows: Window) -> Estimate | None:
    traced = predict(model, recipe, device, precision, rows)
    parts = traced or rough(model, recipe, precision, rows)
    if parts is None:
        return None
    quality: Quality = "rough" if traced is None else "traced"
    note = WORDS[quality]
    if quality == "rough":
        known = model.model_type in TRACED or model.model_type in SAME_AS
        note = note.format(what="this combination of settings" if known else "this architecture")
    outside = cpu_outside() if device == "cpu" else CONTEXT
    if device in {"cuda", "rocm"}:
        parts = msgspec.structs.replace(parts, head=parts.head + WORKSPACE)
    reserved = parts.total * (1.0 if device == "cpu" else RESERVED_RATIO)
    return Estimate(parts, outside, reserved, quality, note)


def _under_mlx(model: ModelSpec, recipe: Recipe, device: DeviceKind, rows: Window) -> Estimate | None:
    metal = device == "mps"
    parts = predict_mlx(model, recipe, rows, metal=metal)
    if parts is None:
        return None
    quality: Quality = "fitted" if model.model_type in FITTED else "rough"
    note, outside = MLX_WORDS[quality], outside_mlx()
    if metal and quality == "fitted":
        note = NOT_ON_METAL
    # What it keeps for use again it gives back when memory runs short: mlx.core.get_cache_memory, set_cache_limit.
    return Estimate(parts, outside, parts.total, quality, note)


def fits_share(predicted: Estimate) -> float:
    """The share of free memory that it may take and be said to fit."""
    return FITS_SHARE / (ROUGH if predicted.quality == "rough" else 1.0)


def verdict(predicted: Estimate | None, free_bytes: int | None) -> tuple[Verdict, str]:
    """The verdict against free memory, and the sentence that explains it."""
    if predicted is None:
        return "UNKNOWN", "the model's shape or the number of its weights is not known"
    if free_bytes is None:
        return "UNKNOWN", f"needs about {size(predicted.total)}, but free memory is unknown"
    if free_bytes <= 0:
        return "NO", f"needs about {size(predicted.total)}, and no memory is free"
    share = predicted.total / free_bytes
    because = f"needs about {size(predicted.total)} of {size(free_bytes)} free ({share:.0%})"
    if share <= fits_share(predicted):
        return "FITS", because
    if share > TIGHT_SHARE:
        return "NO", because if share > 1 else f"{because}, which leaves nothing to spare"
    why = "other programs or longer rows could tip it over" if share > FITS_SHARE else "the figure is rough"
    return "TIGHT", f"{because}; {why}"
