"""Parameter counts from the headers of a checkpoint's weight files."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from kto_tui import units
from kto_tui.catalog.model import Count, ModelSpec
from kto_tui.catalog.packed import count_packed
from kto_tui.catalog.tensors import BUFFERS, FLOATS, Tensor
from kto_tui.errors import UserError

ALIKE = 0.1  # biases, norms and what some architectures add are less of a model than this
# Some files repeat the tied head or keep rotary buffers: neither is a parameter once the model is loaded.
ROTARY, HEAD = (".inv_freq",), ("lm_head.weight", "lm_head.scales", "lm_head.biases")


def count_weights(
    spec: ModelSpec, tensors: dict[str, Tensor], where: str, quantization: Mapping[str, Any] | None = None
) -> ModelSpec:
    """``spec`` with the number of parameters in ``tensors``; quantised weights leave it unknown, but those of MLX.

    Args:
        spec: as config.json has it.
        tensors: by name.
        where: for messages.
        quantization: settings of weights that MLX has quantised.

    Raises:
        UserError: the shapes multiply to more than any model has, or are not those of the config.
    """
    if not tensors:
        return spec
    tied = spec.tied_embeddings if spec.tied_embeddings is not None else "lm_head.weight" not in tensors
    spec = replace(spec, tied_embeddings=tied)
    kept = {n: t for n, t in tensors.items() if not n.endswith(ROTARY + HEAD if tied else ROTARY)}
    if packed := {tensor.dtype for tensor in tensors.values()} - FLOATS - BUFFERS:
        spec = replace(spec, quantised=spec.quantised or min(packed).lower() or "unknown")
        found = count_packed(kept, quantization) if spec.quantised == "mlx" and quantization is not None else None
        if found is None:
            return spec
        counted = _counted(spec, found[0], where)
        # mlx-lm refuses by itself what lacks a layer, and may tell apart settings that look alike from here.
        return spec if _differ(counted) else replace(counted, packed=found[1])
    total = sum(math.prod(tensor.shape) for tensor in kept.values() if tensor.dtype in FLOATS)
    spec = _counted(spec, total, where)
    if described := _differ(spec):
        held, said = units.parameters(spec.parameters), units.parameters(described)
        what = f"config.json describes a model of {said} parameters, the weight files hold {held}"
        # Transformers would make up the layers that a config names and the files lack, and train those.
        raise UserError(what, mend="Copy both from the same model again", where=where)
    return spec


def _counted(spec: ModelSpec, total: int, where: str) -> ModelSpec:
    try:
        return replace(spec, parameters=msgspec.convert(total or None, Count | None))
    except msgspec.ValidationError as error:
        raise UserError("Damaged (impossible tensor shapes)", mend="Copy the model again", where=where) from error


def _differ(spec: ModelSpec) -> int | None:
    """Parameters that the config describes, where those of the files are others; None where nothing can be said."""
    if spec.parameters is None or spec.nf4_linear_params is None or not (spec.vocab_size and spec.hidden_size):
        return None
    described = spec.nf4_linear_params + spec.vocab_size * spec.hidden_size * (1 if spec.tied_embeddings else 2)
    return described if abs(spec.parameters / described - 1) > ALIKE else None
