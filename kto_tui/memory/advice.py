"""What would make a model fit that does not: the fewest and mildest changes."""

from typing import Any

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.memory.estimate import fits_share, verdict
from kto_tui.memory.fitting import SHORTEST, Place, halves
from kto_tui.recipe import LORA_TARGETS, Recipe
from kto_tui.units import count, size

SMALLEST_RANK = 8


def _ladders(model: ModelSpec, recipe: Recipe, place: Place) -> dict[str, list[Any]]:
    """For every setting that saves memory its values from the recipe's down; what one would rather keep comes first."""
    minimal = set(LORA_TARGETS["minimal"]) <= set(model.lora_targets or ())
    found: dict[str, list[Any]] = {
        "lora_targets": [recipe.lora_targets, *(["minimal"] if minimal else [])],
        "max_length": halves(recipe.max_length, SHORTEST),
        "lora_rank": halves(recipe.lora_rank, SMALLEST_RANK),
        "optimizer": [recipe.optimizer, *place.paged],
        "quantization": [recipe.quantization, *place.fewer_bits(model)],
        "gradient_checkpointing": [recipe.gradient_checkpointing, True],
        "micro_batch": [recipe.micro_batch, 1],
    }
    return {name: list(dict.fromkeys(values)) for name, values in found.items()}


def _words(recipe: Recipe, changed: Recipe) -> str:
    said = {
        "quantization": "4-bit weights",
        "gradient_checkpointing": "checkpointing",
        "micro_batch": "rows one by one",
        "optimizer": "the paged 8-bit optimizer",
        "max_length": f"{count(changed.max_length)} tokens",
        "lora_rank": f"rank {changed.lora_rank}",
        "lora_targets": f"{changed.lora_targets} LoRA targets",
    }
    return ", ".join(words for name, words in said.items() if getattr(recipe, name) != getattr(changed, name))


def would_fit(model: ModelSpec, recipe: Recipe, place: Place) -> str | None:
    """A sentence on the settings with which ``model`` would fit, whoever chose the present ones; None if unknown."""
    free = place.free
    ladders = _ladders(model, recipe, place)
    changed = msgspec.structs.replace(recipe, **{name: values[-1] for name, values in ladders.items()})
    predicted = place.estimate(model, changed)
    if predicted is None or free is None:
        return None
    if verdict(predicted, free)[0] != "FITS":
        words, wanted = _words(recipe, changed), size(predicted.total / fits_share(predicted))
        needs = f"needs {size(predicted.total)}: {wanted} would have to be free"
        return f"Even with {words} it {needs}" if words else f"It {needs}"
    for name, values in ladders.items():
        for value in values:
            milder = msgspec.structs.replace(changed, **{name: value})
            needed = place.estimate(model, milder)
            if needed is not None and verdict(needed, free)[0] == "FITS":
                changed, predicted = milder, needed
                break
    return f"It would fit with {_words(recipe, changed)} ({size(predicted.total)})"
