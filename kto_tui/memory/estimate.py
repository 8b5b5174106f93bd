"""A first estimate of peak training memory by hand arithmetic: within about a quarter, not measured, and labelled so.

The parts follow what a TRL 1.16 KTO step keeps: base weights, LoRA weights with gradients and AdamW state, the
activations of one backward pass, and the tiled LM head (at most 256 MiB).
"""

from typing import Literal

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.recipe import LORA_TARGETS, Recipe
from kto_tui.units import GIB, MIB, size

Verdict = Literal["FITS", "TIGHT", "NO", "UNKNOWN"]
FITS_SHARE, TIGHT_SHARE = 0.85, 0.97
# bitsandbytes NF4 with double quantisation: 4-bit weight + one 8-bit absmax per 64 + one fp32 per 64*256.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
HEAD_TILE_BYTES = 256 * MIB
# What a process needs before any model is loaded: CUDA context and libraries on a GPU, torch and TRL on a host.
BASE_BYTES = {"cuda": 0.5 * GIB, "mps": 1.0 * GIB, "cpu": 1.0 * GIB}


class Estimate(msgspec.Struct, frozen=True):
    """Predicted peak in bytes by part. ``quality`` says how far to trust it."""

    weights: float
    adapter: float
    activations: float
    head: float
    base: float
    quality: str = "first estimate, about ±25 %, not measured"

    @property
    def total(self) -> float:
        """The predicted peak in bytes."""
        return self.weights + self.adapter + self.activations + self.head + self.base


def adapter_parameters(model: ModelSpec, recipe: Recipe) -> int | None:
    """LoRA parameters: rank times (inputs + outputs) of every adapted linear layer; None when shapes are unknown."""
    shape = (
        model.hidden_size,
        model.intermediate_size,
        model.heads,
        model.kv_heads,
        model.head_dim,
        model.layers,
    )
    if any(part is None for part in shape):
        return None
    hidden, inner, heads, kv_heads, head_dim, layers = (int(part) for part in shape if part is not None)
    outputs = {"q_proj": (hidden, heads * head_dim), "k_proj": (hidden, kv_heads * head_dim)}
    outputs |= {"v_proj": (hidden, kv_heads * head_dim), "o_proj": (heads * head_dim, hidden)}
    outputs |= {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
    targets = LORA_TARGETS[recipe.lora_targets]
    chosen = outputs if isinstance(targets, str) else {name: outputs[name] for name in targets}
    return layers * recipe.lora_rank * sum(inputs + out for inputs, out in chosen.values())


def estimate(model: ModelSpec, recipe: Recipe, device: str) -> Estimate | None:
    """Predicted peak of a KTO LoRA step with every row at ``max_length``; None when the model's shape is unknown."""
    adapter = adapter_parameters(model, recipe)
    if adapter is None or model.parameters is None or model.vocab_size is None:
        return None
    hidden, inner, layers = model.hidden_size or 0, model.intermediate_size or 0, model.layers or 0
    value_bytes = 4 if recipe.precision == "fp32" else 2
    quantised = recipe.quantization == "nf4"
    if quantised:
        linear = model.nf4_linear_params or 0
        weights = linear * NF4_BYTES + (model.parameters - linear) * value_bytes
    else:
        weights = model.parameters * value_bytes
    tokens = recipe.micro_batch * recipe.max_length
    # One layer keeps about 8 hidden-sized and 4 inner-sized tensors per token for its backward pass.
    per_layer = tokens * value_bytes * (8 * hidden + 4 * inner)
    if recipe.gradient_checkpointing:
        activations = layers * tokens * hidden * value_bytes + per_layer
    else:
        activations = layers * per_layer
    return Estimate(
        weights=weights,
        adapter=adapter * (8 if quantised else 16),
        activations=activations,
        head=min(HEAD_TILE_BYTES, tokens * model.vocab_size * 8),
        base=BASE_BYTES.get(device, GIB),
    )


def verdict(predicted: Estimate | None, free_bytes: int | None) -> tuple[Verdict, str]:
    """The verdict against free memory, and the sentence that explains it."""
    if predicted is None:
        return "UNKNOWN", "the model's shape is not known before it is downloaded"
    if not free_bytes:
        return "UNKNOWN", f"needs about {size(predicted.total)}, but free memory is unknown"
    share = predicted.total / free_bytes
    because = f"needs about {size(predicted.total)} of {size(free_bytes)} free ({share:.0%})"
    if share <= FITS_SHARE:
        return "FITS", because
    return ("TIGHT" if share <= TIGHT_SHARE else "NO"), because
