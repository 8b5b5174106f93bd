"""The largest settings that fit a machine: what to give up first, and what would make a model fit that does not."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.hardware import Hardware
from kto_tui.memory.estimate import FITS_SHARE, TIGHT_SHARE, Estimate, estimate
from kto_tui.memory.measured import Correction
from kto_tui.recipe import Recipe
from kto_tui.units import size

# A whole window in one pass saves the prompts' second pass; worth it only where memory is plenty.
PLENTY_SHARE = 0.5
MOST_ROWS = 1024  # of a micro-batch (kto_tui.recipe)
ROWS_AT_A_TIME = (8, 4, 2, 1)
# Passes of so many tokens keep a device busy; larger ones take memory, which others share, and gain little.
ENOUGH_TOKENS = {"cuda": 8192, "rocm": 8192, "mps": 4096, "cpu": 4096}
SHORTEST = 256
BECAUSE = {
    "micro_batch": "more rows at a time would not fit",
    "gradient_checkpointing": "activations would not fit otherwise",
    "quantization": "16-bit weights would not fit",
    "max_length": "longer rows would not fit",
    "optimizer": "its state then lies in the host's memory when the card's is short",
}


class Place(msgspec.Struct, frozen=True):
    """A machine as predictions see it, with the correction its own runs have given."""

    hardware: Hardware
    correction: Correction | None

    def estimate(self, model: ModelSpec, recipe: Recipe) -> Estimate | None:
        """The memory ``recipe`` needs here."""
        machine = self.hardware
        return estimate(model, recipe, machine.accelerator, machine.precision, correction=self.correction)

    @property
    def free(self) -> int | None:
        """Bytes a training process can take."""
        return self.hardware.free_training_bytes


def _forms(recipe: Recipe, locked: Mapping[str, Any], *, nf4: bool) -> Iterator[dict[str, Any]]:
    """What else can be given up, dearest last: checkpointing, then weights in 4 bits, then length."""
    lengths = [recipe.max_length]
    while lengths[-1] > SHORTEST:
        lengths.append(max(SHORTEST, lengths[-1] // 2))
    for length in [recipe.max_length] if "max_length" in locked else lengths:
        for quantization in dict.fromkeys((recipe.quantization, *(("nf4",) if nf4 else ()))):
            for checkpointing in dict.fromkeys((recipe.gradient_checkpointing, True)):
                changes = {
                    "max_length": length,
                    "quantization": quantization,
                    "gradient_checkpointing": checkpointing,
                }
                if all(changes[name] == getattr(recipe, name) for name in changes.keys() & locked.keys()):
                    yield changes


def largest(model: ModelSpec, recipe: Recipe, place: Place, locked: Mapping[str, Any]) -> tuple[Recipe, dict[str, str]]:
    """``recipe`` with what must be given up so that it fits, and why; the thriftiest form where nothing fits.

    Args:
        model: what is trained.
        recipe: with nothing given up yet.
        place: where.
        locked: fields that were chosen by hand or by a preset.
    """
    free = place.free
    window = recipe.effective_batch
    most = min(window, max(1, ENOUGH_TOKENS[place.hardware.accelerator] // recipe.max_length))
    rows = [recipe.micro_batch] if "micro_batch" in locked else [n for n in ROWS_AT_A_TIME if n <= most]
    thrifty = recipe
    if free is None or place.estimate(model, recipe) is None:
        return msgspec.structs.replace(recipe, micro_batch=rows[0]), {}
    forms = list(_forms(recipe, locked, nf4=place.hardware.device == "cuda"))
    # Where it will be tight at best, rows go one by one.
    tries = [*itertools.product((FITS_SHARE,), forms, rows), *itertools.product((TIGHT_SHARE,), forms, rows[-1:])]
    for share, changes, count in tries:
        thrifty = msgspec.structs.replace(recipe, **changes, micro_batch=count)
        predicted = place.estimate(model, thrifty)
        if predicted is not None and predicted.total <= share * free:
            return _whole_window(model, thrifty, place, locked), _reasons(recipe, thrifty, rows[0], free)
    return thrifty, _reasons(recipe, thrifty, rows[0], free)


def _whole_window(model: ModelSpec, recipe: Recipe, place: Place, locked: Mapping[str, Any]) -> Recipe:
    whole = msgspec.structs.replace(recipe, micro_batch=recipe.effective_batch)
    large = next(rows for rows in ROWS_AT_A_TIME if rows <= recipe.effective_batch)
    if "micro_batch" in locked or recipe.micro_batch < large or recipe.effective_batch > MOST_ROWS:
        return recipe
    predicted = place.estimate(model, whole)
    fits = predicted is not None and place.free is not None and predicted.total <= PLENTY_SHARE * place.free
    return whole if fits else recipe


def _reasons(wished: Recipe, found: Recipe, rows: int, free: int) -> dict[str, str]:
    given_up = [
        n for n in ("gradient_checkpointing", "quantization", "max_length") if getattr(found, n) != getattr(wished, n)
    ]
    given_up += ["micro_batch"] if found.micro_batch < rows else []
    return {name: f"{size(free)} free: {BECAUSE[name]}" for name in given_up}


def least(recipe: Recipe, *, nf4: bool) -> Recipe:
    """The settings that need the least and still are KTO with LoRA."""
    return msgspec.structs.replace(
        recipe,
        micro_batch=1,
        gradient_checkpointing=True,
        quantization="nf4" if nf4 else recipe.quantization,
        max_length=min(SHORTEST, recipe.max_length),
        lora_rank=min(8, recipe.lora_rank),
    )


def would_fit(model: ModelSpec, recipe: Recipe, place: Place) -> str | None:
    """What would make a model fit that does not, in a sentence; None where that cannot be said."""
    free = place.free
    smallest = least(recipe, nf4=place.hardware.device == "cuda")
    predicted = place.estimate(model, smallest)
    if predicted is None or free is None:
        return None
    words = f"rows one by one, {smallest.max_length} tokens, rank {smallest.lora_rank}"
    if smallest.quantization == "nf4":
        words = f"4-bit weights, {words}"
    if predicted.total <= FITS_SHARE * free:
        return f"It would fit with {words} ({size(predicted.total)})"
    needed = f"it needs {size(predicted.total)}: {size(predicted.total / FITS_SHARE)} would have to be free"
    return f"Even with {words} {needed}"
