"""What mlx-lm is told of a model, and what it builds otherwise, so that it computes what Transformers computes.

Nothing of this is written into a folder: the configuration that Transformers reads stays as it is.
"""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
from mlx_lm.models.rope_utils import YarnRoPE

from kto_tui.catalog.mlx_config import kind_of, original_context, rope_kind, rope_of, sliding_pattern, text_of

Config = Mapping[str, Any]
ROPE = ("rope_scaling", "rope_parameters")


def told(config: Config) -> dict[str, Any]:
    """``config`` as mlx-lm has to read it, for rows within ``row_limit``.

    Args:
        config: normalised. Of what mlx-lm cannot be told (``difference``) nothing is changed.
    """
    if isinstance(inner := config.get("text_config"), Mapping):
        return {**config, "text_config": told(inner)}
    found = dict(config)
    kind = kind_of(config)
    for name in ROPE:
        rope = config.get(name)
        if isinstance(rope, Mapping) and rope and not isinstance(rope.get("full_attention"), Mapping):
            found[name] = _rope(config, rope)
    if kind == "llama" and "layer_types" in config:  # Transformers' Llama sees whole rows, whatever is said
        found["layer_types"] = None
    if kind == "gemma3" and (pattern := sliding_pattern(config)) is not None:
        found["sliding_window_pattern"] = pattern
    return found


def _rope(config: Config, rope: Config) -> dict[str, Any]:
    kind = rope_kind(rope)
    found = dict(rope)
    original = original_context(config, rope)
    if kind in {"llama3", "yarn", "longrope"} and original is not None:
        found["original_max_position_embeddings"] = original
    if kind == "dynamic":  # up to the model's context the positions are not scaled
        found |= {"type": "default", "rope_type": "default"}
    elif kind == "longrope" and "short_factor" in rope:
        # mlx-lm always takes the long ones, Transformers does in longer rows than those of pre-training.
        found["long_factor"] = rope["short_factor"]
        if "short_mscale" in rope:
            found["long_mscale"] = rope["short_mscale"]
    elif kind == "yarn":
        found |= _attention(rope)
    return found


def _attention(rope: Config) -> dict[str, float]:
    """YaRN's attention factor in mlx-lm's words, where the two compute different ones: 1 + 0.1 mscale ln(factor)."""
    said, factor = rope.get("attention_factor"), rope.get("factor")
    both = bool(rope.get("mscale")) and bool(rope.get("mscale_all_dim"))
    if not isinstance(factor, (int, float)) or factor <= 1 or (said is None and both):
        return {}
    if said is None:
        return {"mscale": 1.0, "mscale_all_dim": 0.0} if rope.keys() & {"mscale", "mscale_all_dim"} else {}
    return {"mscale": (said - 1) / (0.1 * math.log(factor)), "mscale_all_dim": 0.0}


def correct(model: Any, config: Config) -> None:  # noqa: ANN401
    """Give ``model`` the frequencies of YaRN without rounding (``truncate = false``), which mlx-lm always rounds."""
    text = text_of(config)
    rope = rope_of(text)
    if rope_kind(rope) != "yarn" or rope.get("truncate", True):
        return
    for module in model.modules():
        if isinstance(module, YarnRoPE):
            original = original_context(text, rope) or 1
            module._freqs = untruncated(module.dims, float(text["rope_theta"]), rope, original)  # noqa: SLF001


def untruncated(dims: int, base: float, rope: Config, original: int) -> mx.array:
    """Wavelengths of YaRN whose ramp begins and ends between two frequencies: shape (dims / 2,), in tokens / 2 pi.

    As ``_compute_yarn_parameters`` of Transformers, after Peng et al., 2023 (https://arxiv.org/abs/2309.00071).
    """

    def place(rotations: float) -> float:
        return dims * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = max(place(rope.get("beta_fast") or 32), 0)
    high = min(place(rope.get("beta_slow") or 1), dims - 1)
    ramp = mx.clip((mx.arange(dims // 2, dtype=mx.float32) - low) / (max(high - low, 0) or 0.001), 0, 1)
    plain = base ** (mx.arange(0, dims, 2, dtype=mx.float32) / dims)
    return 1 / (ramp / (rope["factor"] * plain) + (1 - ramp) / plain)
