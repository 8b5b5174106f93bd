"""What mlx-lm, Transformers and a checkpoint's files call the same layer of a language model within a larger model."""

from collections.abc import Collection

# What stands before "layers." in one or another of the three.
_PLACES = ("model.language_model.", "language_model.model.", "model.")
# The same in what AutoModelForCausalLM makes of a checkpoint, by its model_type: of some it loads the language model
# alone. Source: Transformers 5.23, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.
_TREES = {
    "gemma3": "model.language_model.",
    "gemma4": "model.language_model.",
    "gemma4_unified": "model.language_model.",
    "llama4": "model.",
    "qwen3_5": "model.",
    "qwen3_5_moe": "model.",
}


def _within(layer: str) -> str | None:
    """Name from "layers." on; None where the layer is in no such place."""
    place = next((place for place in _PLACES if layer.startswith(f"{place}layers.")), None)
    return None if place is None else layer.removeprefix(place)


def in_checkpoint(layer: str, tensors: Collection[str]) -> str | None:
    """Name of ``layer`` in a checkpoint's files; None where they do not have it.

    Args:
        layer: by whatever name, without ``.weight``.
        tensors: names of all that the files hold.
    """
    within = _within(layer)
    names = [layer] if within is None else [layer, *(place + within for place in _PLACES)]
    return next((name for name in names if f"{name}.weight" in tensors), None)


def in_transformers(layer: str, tensors: Collection[str], kind: str) -> str | None:
    """Name of ``layer`` in the model that AutoModelForCausalLM loads; None where the checkpoint does not have it.

    Args:
        layer: by mlx-lm's name.
        tensors: names of all that the checkpoint's files hold.
        kind: ``model_type`` of its config.json.
    """
    stored, within = in_checkpoint(layer, tensors), _within(layer)
    tree = _TREES.get(kind)
    return stored if stored is None or within is None or tree is None else tree + within
