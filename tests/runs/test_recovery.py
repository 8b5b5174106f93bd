"""The ladder: what it lowers, in which order, where it ends; and which choices are then in force."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.recipe import Recipe, check_recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import Adjusted
from kto_tui.runs.recovery import SHORTEST_LENGTH, in_force, next_rung

CONFIG = RunConfig(model="org/name", data="starter", recipe=Recipe(micro_batch=8, effective_batch=16))
FREE = {"micro_batch", "gradient_checkpointing", "max_length"}


def recovered(name: str, after: object, by: str = "recovery") -> Adjusted:
    return Adjusted(name=name, before=None, after=after, because="b", by=by)  # type: ignore[arg-type]


def rungs(recipe: Recipe) -> list[tuple[str, object]]:
    found = []
    while (rung := next_rung(recipe)) is not None:
        found.append((rung.name, rung.value))
        recipe = msgspec.structs.replace(recipe, **{rung.name: rung.value})
    return found


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (
            Recipe(micro_batch=8, effective_batch=16, max_length=1024),
            [("micro_batch", 4), ("micro_batch", 2), ("micro_batch", 1), ("gradient_checkpointing", True),
             ("max_length", 512), ("max_length", 256)],
        ),
        (Recipe(micro_batch=3, gradient_checkpointing=True, max_length=600),
         [("micro_batch", 1), ("max_length", 300), ("max_length", 256)]),
        (Recipe(micro_batch=1, gradient_checkpointing=True, max_length=SHORTEST_LENGTH), []),
        (Recipe(micro_batch=1, max_length=64), [("gradient_checkpointing", True)]),
    ],
)  # fmt: skip
def test_the_order_of_the_ladder(recipe: Recipe, expected: list[tuple[str, object]]) -> None:
    assert rungs(recipe) == expected


@given(st.integers(1, 1024), st.integers(16, 131_072), st.booleans(), st.integers(2, 4096))
def test_every_rung_is_lower_valid_and_leaves_what_kto_learns_from(
    micro: int, length: int, recomputing: bool, effective: int
) -> None:
    recipe = Recipe(
        micro_batch=min(micro, effective), effective_batch=effective, max_length=length,
        gradient_checkpointing=recomputing,
    )  # fmt: skip
    for _ in range(64):
        if (rung := next_rung(recipe)) is None:
            break
        lower = in_force(msgspec.structs.replace(CONFIG, recipe=recipe), [recovered(rung.name, rung.value)]).recipe
        changed = {name for name in Recipe.__struct_fields__ if getattr(lower, name) != getattr(recipe, name)}
        assert changed == {rung.name} <= FREE
        assert rung.because
        assert check_recipe(lower).effective_batch == effective
        if rung.name == "max_length":
            assert (lower.micro_batch, lower.gradient_checkpointing) == (1, True), "the data comes last"
            assert max(SHORTEST_LENGTH, length // 2**9) <= lower.max_length < recipe.max_length
        recipe = lower
    else:
        pytest.fail("the ladder has no end")


def test_the_reason_says_what_happens_to_longer_rows() -> None:
    bottom = Recipe(micro_batch=1, gradient_checkpointing=True, max_length=1024)
    cut, skipped = next_rung(bottom), next_rung(msgspec.structs.replace(bottom, long_rows="skip"))
    assert cut is not None
    assert skipped is not None
    assert "cut; a note says how many" in cut.because
    assert "left out" in skipped.because


def test_choices_in_force_are_the_frozen_ones_and_what_recovery_changed() -> None:
    changes = [
        recovered("micro_batch", 4),
        recovered("micro_batch", 2),
        recovered("log_every", 7, by="person"),
        recovered("learning_rate_scale", 0.5),
    ]
    now = in_force(CONFIG, changes)
    assert now.recipe == msgspec.structs.replace(CONFIG.recipe, micro_batch=2)
    assert in_force(CONFIG, []) == CONFIG
    with pytest.raises(UserError, match="Micro-batch"):
        in_force(CONFIG, [recovered("micro_batch", 0)])
