"""The largest settings that fit a machine, and what is given up for that."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.catalog.mlx import mlx_refusal
from kto_tui.hardware import Hardware
from kto_tui.memory.estimate import Estimate, estimate, verdict
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
PAGED = "paged_adamw_8bit"
# Of what nothing helps, no more is given up than saves this share.
WORTHWHILE = 0.02
BECAUSE = {
    "micro_batch": "more rows at a time would not fit",
    "gradient_checkpointing": "activations would not fit otherwise",
    "quantization": "16-bit weights would not fit",
    "max_length": "longer rows would not fit",
    "optimizer": "its state then lies in the host's memory when the card's is short",
}


class Place(msgspec.Struct, frozen=True):
    """A machine as predictions see it, with the correction its own runs have given, and who trains on it."""

    hardware: Hardware
    correction: Correction | None
    backend: str = "hf"

    def estimate(self, model: ModelSpec, recipe: Recipe) -> Estimate | None:
        """The memory ``recipe`` needs here."""
        machine = self.hardware
        return estimate(
            model, recipe, machine.accelerator, machine.precision, correction=self.correction, backend=self.backend
        )

    def fewer_bits(self, model: ModelSpec) -> list[str]:
        """The quantisation that weights can be loaded in to save memory here, if there is one.

        MLX has int4 on processors too, at a tenth of the speed: nobody is led there.
        """
        if self.backend == "mlx":
            return ["int4"] if self.hardware.device == "mps" and mlx_refusal(model, "int4") is None else []
        return ["nf4"] if self.hardware.device == "cuda" else []

    @property
    def paged(self) -> list[str]:
        """The optimizer whose state may leave the device, if there is one here."""
        return [PAGED] if self.backend == "hf" and self.hardware.device == "cuda" else []

    @property
    def free(self) -> int | None:
        """Bytes a training process can take."""
        return self.hardware.free_training_bytes


def halves(value: int, least: int) -> list[int]:
    """``value``, then halves of it down to ``least``; it alone where it is no larger."""
    found = [value]
    while found[-1] > least:
        found.append(max(least, found[-1] // 2))
    return found


def _forms(
    recipe: Recipe, locked: Mapping[str, Any], fewer_bits: list[str], paged: list[str]
) -> Iterator[list[dict[str, Any]]]:
    """For each length what else can be given up, dearest last: checkpointing, weights in 4 bits, the optimizer."""
    quantised = dict.fromkeys([recipe.quantization, *fewer_bits])
    both = itertools.product(quantised, dict.fromkeys((recipe.gradient_checkpointing, True)))
    forms = [(*each, recipe.optimizer) for each in both]
    forms += [(*forms[-1][:2], one) for one in paged if recipe.optimizer != one]
    for length in halves(recipe.max_length, SHORTEST):
        named = (
            {"max_length": length, "quantization": weights, "gradient_checkpointing": again, "optimizer": optimizer}
            for weights, again, optimizer in forms
        )
        held = [one for one in named if all(one[name] == getattr(recipe, name) for name in one.keys() & locked.keys())]
        if held:
            yield held


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
    if free is None or place.estimate(model, recipe) is None:
        return msgspec.structs.replace(recipe, micro_batch=rows[0]), {}
    forms = list(_forms(recipe, locked, place.fewer_bits(model), place.paged))
    every = [one for some in forms for one in some]
    # Where it will be tight at best, rows go one by one and all is given up that costs no part of the data.
    thrifty = [some[-1] for some in forms]
    tries = [*itertools.product(("FITS",), every, rows), *itertools.product(("TIGHT",), thrifty, rows[-1:])]
    for wanted, changes, count in tries:
        found = msgspec.structs.replace(recipe, **changes, micro_batch=count)
        if verdict(place.estimate(model, found), free)[0] == wanted:
            return _whole_window(model, found, place, locked), _reasons(recipe, found, rows[0], free)
    found = _worthwhile(model, recipe, msgspec.structs.replace(recipe, **thrifty[-1], micro_batch=rows[-1]), place)
    return found, _reasons(recipe, found, rows[0], free)


def _worthwhile(model: ModelSpec, wished: Recipe, found: Recipe, place: Place) -> Recipe:
    """``found``, which does not fit, without what is given up for next to nothing."""
    for name in ("max_length", "optimizer", "quantization", "gradient_checkpointing"):
        kept = msgspec.structs.replace(found, **{name: getattr(wished, name)})
        before, after = place.estimate(model, found), place.estimate(model, kept)
        if before is not None and after is not None and after.total <= (1 + WORTHWHILE) * before.total:
            found = kept
    return found


def _whole_window(model: ModelSpec, recipe: Recipe, place: Place, locked: Mapping[str, Any]) -> Recipe:
    whole = msgspec.structs.replace(recipe, micro_batch=recipe.effective_batch)
    large = next(rows for rows in ROWS_AT_A_TIME if rows <= recipe.effective_batch)
    if "micro_batch" in locked or recipe.micro_batch < large or recipe.effective_batch > MOST_ROWS:
        return recipe
    if place.backend == "mlx":  # which computes the prompts of every row anyway
        return recipe
    predicted = place.estimate(model, whole)
    fits = predicted is not None and place.free is not None and predicted.total <= PLENTY_SHARE * place.free
    return whole if fits else recipe


def _reasons(wished: Recipe, found: Recipe, rows: int, free: int) -> dict[str, str]:
    given_up = [name for name in BECAUSE if name != "micro_batch" and getattr(found, name) != getattr(wished, name)]
    given_up += ["micro_batch"] if found.micro_batch < rows else []
    return {name: f"{size(free)} free: {BECAUSE[name]}" for name in given_up}
