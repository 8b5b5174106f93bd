"""A LoRA or DoRA adapter in PEFT's files, and the weights it makes of those of a base model."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kto_tui.backends.fuse.tensors import Floats, Shard
from kto_tui.errors import UserError

PREFIX = "base_model.model."
PARTS = {".lora_A.weight": "a", ".lora_B.weight": "b", ".lora_magnitude_vector": "m"}


class Change(msgspec.Struct, kw_only=True):
    """What an adapter does to one layer.

    Attributes:
        a: shape (rank, inputs).
        b: shape (outputs, rank).
        m: DoRA's magnitudes, shape (outputs,); None under LoRA.
        scale: of their product.
        transposed: the layer keeps its weight as (inputs, outputs), as GPT-2 does.
    """

    a: Any = None
    b: Any = None
    m: Any = None
    scale: float
    transposed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight it belongs to."""
        outputs, inputs = len(self.b), self.a.shape[1]
        return (inputs, outputs) if self.transposed else (outputs, inputs)

    def merged(self, weight: Floats) -> Floats:
        """``weight`` with the adapter in it: W + scale B A; DoRA's rows get the magnitudes ``m``.

        Source: LoRA (arXiv:2106.09685), section 4.1; DoRA (arXiv:2402.09353), eq. 5.
        """
        weight = weight.T if self.transposed else weight
        weight = weight + self.scale * (self.b @ self.a)
        if self.m is not None:
            weight = weight * (self.m.reshape(-1) / np.linalg.norm(weight, axis=1))[:, None]
        return np.asarray(weight.T if self.transposed else weight, np.float32)


def read_adapter(folder: Path, config: Mapping[str, Any]) -> dict[str, Change]:
    """Changes by the name of the weight they belong to.

    Args:
        folder: of the adapter.
        config: its ``adapter_config.json``.

    Raises:
        UserError: damaged, or it trains something that is no low-rank change of a layer.
    """
    file = folder / "adapter_model.safetensors"
    special = next((name for name in ("rank_pattern", "alpha_pattern", "modules_to_save") if config.get(name)), None)
    shard = Shard(file)
    try:
        rank, alpha = config["r"], config["lora_alpha"]
        scale = float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))
    except (KeyError, TypeError, ZeroDivisionError):
        raise UserError(
            "The adapter's settings name no rank or alpha", mend="Train it again", where=str(folder)
        ) from None
    found: dict[str, Change] = {}
    for name in shard.entries:
        part = next((part for part in PARTS if name.endswith(part)), None)
        if special or part is None or not name.startswith(PREFIX):
            raise UserError(
                f"This adapter has more than LoRA or DoRA layers of one rank ({special or name})",
                mend="Merge it with PEFT: AutoPeftModelForCausalLM.from_pretrained(...).merge_and_unload()",
                where=str(folder),
            )
        layer = f"{name.removeprefix(PREFIX).removesuffix(part)}.weight"
        if layer not in found:
            found[layer] = Change(scale=scale, transposed=bool(config.get("fan_in_fan_out")))
        setattr(found[layer], PARTS[part], shard.floats(name))
    if not found or any(one.a is None or one.b is None for one in found.values()):
        raise UserError("The adapter's file is not whole", mend="Train it again", where=str(file))
    return found
