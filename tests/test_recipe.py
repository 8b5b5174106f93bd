"""The recipe's fields: described, bounded, read from what a person types and shown so that it reads back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.recipe import (
    FIELDS,
    Recipe,
    check_recipe,
    check_value,
    field_named,
    with_overrides,
)
from kto_tui.recipe_text import parse_value, show_value

# name: (too small, smallest, largest, too large), written down apart from the annotations they check.
BOUNDS: dict[str, tuple[float, float, float, float]] = {
    "beta": (0, 1e-9, 10, 10.001),
    "desirable_weight": (0, 1e-9, 1000, 1000.5),
    "undesirable_weight": (0, 1e-9, 1000, 1000.5),
    "learning_rate": (0, 1e-12, 0.1, 0.11),
    "epochs": (0, 1e-3, 100, 100.1),
    "steps": (0, 1, 1_000_000, 1_000_001),
    "effective_batch": (1, 2, 4096, 4097),
    "micro_batch": (0, 1, 1024, 1025),
    "max_length": (15, 16, 131_072, 131_073),
    "warmup": (-0.1, 0, 0.999, 1),
    "max_grad_norm": (0, 1e-3, 1000, 1001),
    "lora_rank": (0, 1, 1024, 1025),
    "lora_alpha": (0, 1, 4096, 4097),
    "heldout_share": (-0.1, 0, 0.5, 0.51),
    "eval_every": (0, 1, 1_000_000, 1_000_001),
    "sample_every": (0, 1, 1_000_000, 1_000_001),
    "save_every": (0, 1, 1_000_000, 1_000_001),
    "save_total_limit": (0, 1, 1000, 1001),
    "log_every": (0, 1, 10_000, 10_001),
    "seed": (-1, 0, 2**31 - 1, 2**31),
}
OPTIONAL = {"desirable_weight", "undesirable_weight", "steps", "eval_every", "sample_every", "save_every"}
WHOLE = {name for name in BOUNDS if isinstance(BOUNDS[name][1], int) and name not in {"warmup", "heldout_share"}}
LIMIT_WORDS = {"above", "at", "least", "most", "below"}


def test_the_table_of_bounds_names_every_number() -> None:
    assert set(BOUNDS) == {field.name for field in FIELDS if field.kind in {"int", "float"}}
    assert {field.name for field in FIELDS if field.kind == "int"} == WHOLE
    assert {field.name for field in FIELDS if field.optional} == OPTIONAL


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_is_described(field: msgspec.Struct) -> None:
    assert field.label
    assert len(field.help) > 10
    assert field_named(field.name) is field
    assert bool(field.choices) == (field.kind == "choice")
    assert bool(field.bounds) == (field.kind in {"int", "float"})
    assert check_value(field.name, getattr(Recipe(), field.name)) == getattr(Recipe(), field.name)


def test_labels_differ() -> None:
    assert len({field.label for field in FIELDS}) == len(FIELDS) == len(Recipe.__struct_fields__)


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_enforced_and_named(name: str) -> None:
    small, smallest, largest, large = BOUNDS[name]
    assert check_value(name, smallest) == smallest
    assert check_value(name, largest) == largest
    field = field_named(name)
    for value in (small, large, float("nan"), float("inf"), -float("inf"), 10**400, -(10**30)):
        with pytest.raises(UserError) as caught:
            check_value(name, value)
        assert name in str(caught.value)
        assert field.label in str(caught.value)
        assert field.bounds in str(caught.value)
    numbers = [word.strip(",") for word in field.bounds.split() if word.strip(",") not in LIMIT_WORDS]
    assert {float(number) for number in numbers} <= set(BOUNDS[name]), "the sentence states the real bounds"
    assert len(numbers) == 2


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [True, "3", [1], {}, b"1"])
def test_a_number_is_nothing_else(name: str, value: object) -> None:
    with pytest.raises(UserError, match=name):
        check_value(name, value)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_whole_numbers_stay_whole(name: str) -> None:
    with pytest.raises(UserError, match="whole number"):
        parse_value(name, "16.5")
    value = parse_value(name, "1e3")
    assert type(value) is int


@pytest.mark.parametrize(
    ("name", "value"),
    [(field.name, "nonsense") for field in FIELDS if field.kind != "choice"]
    + [(field.name, bad) for field in FIELDS if field.kind == "choice" for bad in ("nonsense", 1, None, "\ud800")],
)
def test_what_is_expected_is_said(name: str, value: object) -> None:
    with pytest.raises(UserError) as caught:
        check_value(name, value)
    field = field_named(name)
    assert f"[recipe] {name}" in str(caught.value)
    assert all(choice in str(caught.value) for choice in field.choices)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("learning_rat", "learning_rate"), ("betta", "beta"), ("lora_r", "lora_rank"), ("microbatch", "micro_batch")],
)
def test_an_unknown_key_names_the_nearest(typo: str, meant: str) -> None:
    for attempt in (
        lambda: field_named(typo),
        lambda: check_value(typo, 1),
        lambda: parse_value(typo, "1"),
        lambda: with_overrides(Recipe(), {typo: 1}),
    ):
        with pytest.raises(UserError) as caught:
            attempt()
        assert repr(typo) in str(caught.value)
        assert f"Did you mean {meant}?" in str(caught.value)


def test_a_key_like_no_other_lists_them_all() -> None:
    with pytest.raises(UserError) as caught:
        field_named("zzzzzzzz")
    assert all(field.name in str(caught.value) for field in FIELDS)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, float]:
    name = draw(st.sampled_from(sorted(BOUNDS)))
    _, smallest, largest, _ = BOUNDS[name]
    kind = st.integers if name in WHOLE else st.floats
    return name, draw(kind(smallest, largest))


@given(numbers())
def test_what_is_shown_reads_back(pair: tuple[str, float]) -> None:
    name, value = pair
    field = field_named(name)
    shown = show_value(field, value)
    unit = field.unit.removesuffix("s") if value == 1 else field.unit
    assert shown.endswith(unit)
    read = parse_value(name, shown.removesuffix(unit))
    assert read == value
    assert type(read) is (int if field.kind == "int" else float)


@given(st.sampled_from([field for field in FIELDS if field.kind in {"choice", "bool"}]), st.data())
def test_choices_and_switches_read_back(field: msgspec.Struct, data: st.DataObject) -> None:
    value = data.draw(st.booleans() if field.kind == "bool" else st.sampled_from(field.choices))
    assert parse_value(field.name, show_value(field, value)) == value


@pytest.mark.parametrize(
    ("name", "text", "value", "shown"),
    [
        ("learning_rate", "1e-4", 1e-4, "1e-4"),
        ("learning_rate", " 0.00025 ", 0.00025, "2.5e-4"),
        ("effective_batch", "32", 32, "32 rows"),
        ("effective_batch", "32.0", 32, "32 rows"),
        ("max_length", "2048", 2048, "2048 tokens"),
        ("epochs", "2", 2.0, "2"),
        ("steps", "", None, "automatic"),
        ("desirable_weight", "  ", None, "automatic"),
        ("gradient_checkpointing", "On", True, "on"),
        ("gradient_checkpointing", "no", False, "off"),
        ("schedule", "linear", "linear", "linear"),
    ],
)
def test_examples_of_typing(name: str, text: str, value: object, shown: str) -> None:
    assert parse_value(name, text) == value
    assert show_value(field_named(name), value) == shown


@pytest.mark.parametrize("name", sorted({field.name for field in FIELDS} - OPTIONAL))
def test_empty_is_automatic_only_where_that_exists(name: str) -> None:
    with pytest.raises(UserError, match=name):
        parse_value(name, "")


@given(st.sampled_from([field.name for field in FIELDS]), st.text(max_size=30))
def test_whatever_is_typed_gives_a_value_or_a_sentence(name: str, text: str) -> None:
    try:
        value = parse_value(name, text)
    except UserError as error:
        assert name in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert check_value(name, value) == value


@given(st.integers(1, 1024), st.integers(2, 4096))
def test_the_micro_batch_is_at_most_the_effective_batch(micro: int, effective: int) -> None:
    recipe = Recipe(micro_batch=micro, effective_batch=effective)
    if micro <= effective:
        assert check_recipe(recipe) is recipe
    else:
        with pytest.raises(UserError, match="micro_batch") as caught:
            check_recipe(recipe)
        assert str(micro) in str(caught.value)
        assert str(effective) in str(caught.value)


def test_overrides_are_checked_alone_and_together() -> None:
    recipe = with_overrides(Recipe(), {"beta": 0.2, "micro_batch": 8, "effective_batch": 24, "steps": None})
    assert recipe == Recipe(beta=0.2, micro_batch=8, effective_batch=24)
    with pytest.raises(UserError, match="beta"):
        with_overrides(Recipe(), {"beta": 0})
    with pytest.raises(UserError, match="micro_batch"):
        with_overrides(Recipe(), {"micro_batch": 17})


def test_the_default_recipe_is_sound() -> None:
    assert check_recipe(Recipe()) == Recipe()
    assert msgspec.convert(msgspec.to_builtins(Recipe()), Recipe) == Recipe()
