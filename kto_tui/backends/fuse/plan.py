"""Which tensors the fused folder has: those of the base model, with the adapted ones changed."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kto_tui.backends.fuse import dequantise
from kto_tui.backends.fuse.adapter import Change
from kto_tui.backends.fuse.tensors import WIDTHS, Floats, Planned, Raw, Shard, count, from_float32
from kto_tui.backends.layer_names import in_checkpoint
from kto_tui.errors import UserError

Files = dict[str, dict[str, Planned]]
PEFT = "Merge it with PEFT: AutoPeftModelForCausalLM.from_pretrained(...).merge_and_unload()"


def plan(base: Path, changes: Mapping[str, Change], quantization: Mapping[str, Any] | None) -> Files:
    """Tensors by file name, under the names that the base model's files and tensors have.

    Args:
        base: folder of the base model.
        changes: by PEFT's name of the weight.
        quantization: MLX's settings where the base weights are quantised by MLX.

    Raises:
        UserError: files are damaged, or adapter and base model do not belong together.
    """
    paths = sorted(base.glob("model*.safetensors")) or sorted(base.glob("*.safetensors"))
    if not paths:
        raise UserError("The base model has no safetensors files", mend=PEFT, where=str(base))
    shards = [Shard(path) for path in paths]
    found: Files = {}
    changes = _by_stored_names(changes, {name for shard in shards for name in shard.entries})
    missing = set(changes)
    for shard in shards:
        here: dict[str, Planned] = {}
        packed = set(dequantise.layers(shard)) if quantization is not None else set()
        for name, entry in shard.entries.items():
            layer, _, part = name.rpartition(".")
            if layer in packed and part != "weight":
                continue
            make: Callable[[], Floats]
            if layer in packed and quantization is not None:
                dtype, shape = dequantise.outcome(shard, layer, quantization)
                make = partial(dequantise.dequantised, shard, layer, quantization)
            elif name in changes:
                dtype, shape, make = entry.dtype, entry.shape, partial(shard.floats, name)
            else:
                here[name] = Planned(entry.dtype, entry.shape, entry.size, partial(shard.raw, name))
                continue
            change = changes.get(name)
            _check(name, dtype, shape, change, base)
            here[name] = Planned(dtype, shape, count(shape) * WIDTHS[dtype], partial(_made, name, make, change, dtype))
        missing -= here.keys()
        found[shard.path.name] = here
    if missing:
        what = f"The base model's files have no {min(missing)}, which the adapter changes"
        raise UserError(what, mend=PEFT, where=str(base))
    return found


def _by_stored_names(changes: Mapping[str, Change], tensors: Collection[str]) -> dict[str, Change]:
    """``changes`` by the names of the weights in the base model's files."""
    found = {}
    for name, change in changes.items():
        layer = name.removesuffix(".weight")
        found[f"{in_checkpoint(layer, tensors) or layer}.weight"] = change
    return found


def _check(name: str, dtype: str, shape: tuple[int, ...], change: Change | None, base: Path) -> None:
    if dtype not in WIDTHS:
        raise UserError(f"The base model keeps {name} as {dtype}, which is not merged here", mend=PEFT, where=str(base))
    if change is not None and change.shape != shape:
        what = f"{name} has shape {shape} and the adapter was made for {change.shape}"
        raise UserError(what, mend="Bring back the base model it was trained on", where=str(base))


def _made(name: str, make: Callable[[], Floats], change: Change | None, dtype: str) -> Raw:
    values = make() if change is None else change.merged(make())
    limit = 65504.0 if dtype == "F16" else np.inf
    if not (np.isfinite(values).all() and np.abs(values).max(initial=0) <= limit):
        what = "The merged weight has values that are no numbers or too large for its format"
        raise UserError(what, mend="Train again with a lower learning rate", where=name)
    return from_float32(values, dtype)
