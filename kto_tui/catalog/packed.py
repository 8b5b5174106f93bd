"""Weights that MLX has quantised, counted by the headers of their files: what they stand for, and what they weigh.

A layer's values lie in 32-bit words, with a scale for each group of them in a row. ``affine`` has floating-point scales
and as many ``biases``; the block formats have one-byte scales alone (``mlx.core.quantize``, MLX 0.32).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from kto_tui.catalog.config_file import load_json
from kto_tui.catalog.model import Packed
from kto_tui.catalog.tensors import BUFFERS, FLOATS, Tensor

# Group size and bits, where settings name none: MLX's own. A block format has no others.
DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
WORD_BITS = 32


class Settings(msgspec.Struct, frozen=True):
    """How a layer is quantised; ``group_size`` values of a row have one scale."""

    group_size: Annotated[int, msgspec.Meta(ge=1, le=2**16)]
    bits: Annotated[int, msgspec.Meta(ge=1, le=WORD_BITS)]
    mode: Literal["affine", "mxfp4", "nvfp4", "mxfp8"] = "affine"


class _Written(msgspec.Struct):
    group_size: int | None = None
    bits: int | None = None
    mode: str | None = None


def read_settings(folder: Path) -> Mapping[str, Any] | None:
    """``quantization`` of config.json: settings of all layers, and by name those of layers with others.

    None where there is none, and where activations are quantised too: MLX then unpacks the weights to train.
    """
    config = load_json(folder / "config.json")
    found = config.get("quantization")
    return found if isinstance(found, dict) and not config.get("quantize_activations") else None


def settings_of(layer: str, quantization: Mapping[str, Any]) -> Settings | None:
    """Settings of a layer; its own take nothing from those of all layers (``mlx_lm.utils.load_model``).

    None where they are none, or not to be understood.
    """
    own = quantization.get(layer, True)
    table = own if isinstance(own, Mapping) else quantization
    if own is False:
        return None
    try:
        written = msgspec.convert({name: table.get(name) for name in _Written.__struct_fields__}, _Written)
        mode = written.mode or "affine"
        size, bits = DEFAULTS.get(mode, (None, None))
        wanted = {"group_size": written.group_size or size, "bits": written.bits or bits, "mode": mode}
        return msgspec.convert(wanted, Settings)
    except msgspec.ValidationError:
        return None


def _width(layer: str, tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> int | None:
    """Values in a row of a layer; None where header and settings contradict each other."""
    (*rows, words), scales = tensors[f"{layer}.weight"].shape or [0], tensors.get(f"{layer}.scales", Tensor())
    biases, settings = tensors.get(f"{layer}.biases"), settings_of(layer, quantization)
    if not words or scales.shape[:-1] != rows or not scales.shape or settings is None:
        return None
    groups = scales.shape[-1]
    if scales.dtype == "U8":
        # Of what no settings name mlx-lm, too, looks at the scales: of block formats each has a ratio of its own.
        fitting = [Settings(*each, mode) for mode, each in DEFAULTS.items() if mode != "affine"]  # type: ignore[arg-type]
        found = [each for each in fitting if words * WORD_BITS == groups * each.group_size * each.bits]
        if biases is not None or not found or (layer in quantization and found[0] != settings):
            return None
        return groups * found[0].group_size
    width = groups * settings.group_size
    alike = biases is not None and (biases.shape, biases.dtype) == (scales.shape, scales.dtype)
    fits = settings.mode == "affine" and scales.dtype in FLOATS and words * WORD_BITS == width * settings.bits
    return width if alike and fits else None


def count_packed(tensors: Mapping[str, Tensor], quantization: Mapping[str, Any]) -> tuple[int, Packed] | None:
    """(parameters, what is to be kept of them) of a checkpoint's tensors; None where they cannot be told for sure.

    Args:
        tensors: those that are loaded, without a second copy of any.
        quantization: settings, as in config.json.
    """
    parameters, packed_bytes, floats, beside = 0, 0, 0, set[str]()
    for name, tensor in tensors.items():
        if tensor.dtype != "U32":
            continue
        layer = name.removesuffix(".weight")
        width = None if layer == name else _width(layer, tensors, quantization)
        if width is None:
            return None
        parameters += math.prod(tensor.shape[:-1]) * width
        packed_bytes += math.prod(tensor.shape) * WORD_BITS // 8
        beside |= {f"{layer}.scales", f"{layer}.biases", f"{layer}.global_scale"}
    for name, tensor in tensors.items():
        count = math.prod(tensor.shape)
        if tensor.dtype in FLOATS:
            floats += count
            parameters += 0 if name in beside else count
        elif tensor.dtype == "U8" and name in beside:
            packed_bytes += count
        elif tensor.dtype not in {"U32", *BUFFERS}:
            return None
    try:
        kept = msgspec.convert({"packed_bytes": packed_bytes, "floats": floats}, Packed)
    except msgspec.ValidationError:
        return None
    return (parameters, kept) if beside else None
