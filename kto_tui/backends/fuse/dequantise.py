"""Weights that MLX has quantised, back as floating-point numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kto_tui.backends.fuse.tensors import Floats, Shard, count
from kto_tui.catalog.packed import Settings, settings_of

PACKED, SCALES, BIASES = ".weight", ".scales", ".biases"
# What a layer's numbers become: the dtype of its scales; block formats have one-byte scales and no such dtype.
BLOCK_DTYPE = "BF16"


def layers(shard: Shard) -> list[str]:
    """Names of the quantised layers of a file: a packed weight with scales."""
    names = shard.entries
    return [
        name.removesuffix(SCALES)
        for name in names
        if name.endswith(SCALES) and names.get(f"{name.removesuffix(SCALES)}{PACKED}", names[name]).dtype == "U32"
    ]


def settings(layer: str, quantization: Mapping[str, Any]) -> Settings:
    """Of a layer, which may have its own.

    Raises:
        ValueError: they are none of MLX's.
    """
    found = settings_of(layer, quantization)
    if found is None:
        raise ValueError(f"The settings by which {layer} is quantised are not known to MLX")
    return found


def outcome(shard: Shard, layer: str, quantization: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """(dtype, shape) of a layer's weight once it is dequantised; the last axis is packed into 32-bit words."""
    *outer, words = shard.entries[layer + PACKED].shape
    dtype = shard.entries[layer + SCALES].dtype
    bits = settings(layer, quantization).bits
    return (dtype if dtype in {"F32", "F16", "BF16"} else BLOCK_DTYPE), (*outer, words * 32 // bits)


def dequantised(shard: Shard, layer: str, quantization: Mapping[str, Any]) -> Floats:
    """A layer's weight as float32, as MLX computes with it (``mlx.core.dequantize``).

    Raises:
        ImportError: MLX is not installed.
        ValueError, RuntimeError: MLX does not take these settings.
    """
    import mlx.core as mx

    def array(name: str) -> Any:  # noqa: ANN401
        entry = shard.entries[name]
        raw = np.array(shard.raw(name))
        if entry.dtype == "BF16":
            return mx.array(raw.view(np.uint16)).view(mx.bfloat16).reshape(entry.shape)
        kind = {"U32": np.uint32, "F32": np.float32, "F16": np.float16}.get(entry.dtype, np.uint8)
        return mx.array(raw.view(kind)).reshape(entry.shape)

    how = settings(layer, quantization)
    biases = array(layer + BIASES) if layer + BIASES in shard.entries else None
    packed, scales = array(layer + PACKED), array(layer + SCALES)
    # On the processor: one layer at a time, and the same bits wherever it is done.
    found = mx.dequantize(
        packed, scales, biases, group_size=how.group_size, bits=how.bits, mode=how.mode, stream=mx.cpu
    )
    values = np.array(found.astype(mx.float32))
    if values.size != count(outcome(shard, layer, quantization)[1]):
        raise ValueError(f"{layer} has another size than its settings say")
    return values
