"""What gives way when memory ran out, in an order that keeps KTO valid, and the choices then in force."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from kto_tui.recipe import Recipe, Value, with_overrides
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import Adjusted

# A micro-batch of 16 comes down to 1 in four, recomputing is the fifth, a first shortening the sixth. Each loads the
# model again; what still does not fit then is far off, and a person decides.
MAX_RELAUNCHES = 6
# Below this many tokens the prompts of a chat alone do not fit, and rows are dropped rather than cut.
SHORTEST_LENGTH = 256


class Rung(NamedTuple):
    """One step down: the field of the recipe, its lower value, and why it is that one's turn."""

    name: str
    value: Value
    because: str


def in_force(config: RunConfig, adjustments: Iterable[Adjusted]) -> RunConfig:
    """``config`` with what the recovery from faults changed since; a person's settings are no part of it.

    Raises:
        UserError: a recorded value is out of bounds.
    """
    fields = Recipe.__struct_fields__
    changed = {one.name: one.after for one in adjustments if one.by == "recovery" and one.name in fields}
    return msgspec.structs.replace(config, recipe=with_overrides(config.recipe, changed))


def next_rung(recipe: Recipe) -> Rung | None:
    """What to lower next: first what changes nothing that is learnt, the data last; None when nothing is left."""
    if recipe.micro_batch > 1:
        kept = f"the effective batch stays {recipe.effective_batch}, with the same pairs"
        return Rung("micro_batch", recipe.micro_batch // 2, f"memory ran out; {kept}")
    if not recipe.gradient_checkpointing:
        slower = "recomputing activations needs less, and is about a third slower"
        return Rung("gradient_checkpointing", True, f"memory ran out with one row per pass; {slower}")
    if (shorter := max(SHORTEST_LENGTH, recipe.max_length // 2)) < recipe.max_length:
        longer = "cut; a note says how many" if recipe.long_rows == "cut" else "left out"
        return Rung("max_length", shorter, f"memory ran out with recomputing on; longer rows are {longer}")
    return None
