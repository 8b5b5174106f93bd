"""Which model architectures the packed path is proven for; everything else takes the plain path and says so."""

from typing import Any

# Each has a tiny model in tests/backends/kto/test_architectures.py that must score the same on both paths.
PROVEN = frozenset({"llama", "qwen2", "qwen3", "mistral", "gemma2", "smollm3", "phi3"})
_ATTENTIONS = {"full_attention", "sliding_attention"}


def why_plain(config: Any, max_length: int) -> str | None:  # noqa: ANN401 - any Transformers config
    """Why a model of ``config`` takes the plain path on rows of up to ``max_length`` tokens; None: packed."""
    kind = getattr(config, "model_type", "unknown")
    if kind not in PROVEN:
        return f"packed rows are not proven for the architecture {kind}"
    other = set(getattr(config, "layer_types", None) or ()) - _ATTENTIONS
    if other:
        return f"packed rows are not proven for {', '.join(sorted(other))} layers"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in {"longrope", "dynamic"}:
        # These change all rotary frequencies once the longest position of a batch passes the original context.
        original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        if max_length > original:
            return f"rows beyond {original} tokens change this model's rotary frequencies for the whole batch"
    return None
