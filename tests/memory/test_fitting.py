"""What is given up to fit a machine, in which order, and what is said about it."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import ModelSpec, find, load_catalog
from kto_tui.hardware import Hardware
from kto_tui.memory.estimate import FITS_SHARE, TIGHT_SHARE
from kto_tui.memory.fitting import SHORTEST
from kto_tui.planner import Plan, place_of, propose
from kto_tui.recipe import FIELDS, Recipe, check_recipe, check_value
from kto_tui.units import GIB
from tests.memory.places import MACHINES, cuda, machine

CATALOG = load_catalog()
SEVEN_B = find("Qwen/Qwen2.5-7B-Instruct")
SMALL = find("HuggingFaceTB/SmolLM2-135M-Instruct")
assert SEVEN_B is not None
assert SMALL is not None
ORDER = {"FITS": 0, "TIGHT": 1, "NO": 2}


def savings(plan: Plan) -> tuple[Any, ...]:
    """The more is given up, the larger: length before weights before checkpointing before rows."""
    recipe = plan.recipe
    what = (-recipe.max_length, recipe.quantization == "nf4", recipe.gradient_checkpointing, -recipe.micro_batch)
    return ORDER[plan.verdict], *what


def within_bounds(recipe: Recipe) -> bool:
    check_recipe(recipe)
    return all(check_value(field.name, getattr(recipe, field.name)) == getattr(recipe, field.name) for field in FIELDS)


def total(plan: Plan, model: ModelSpec, hardware: Hardware, **changes: Any) -> float:
    found = place_of(hardware).estimate(model, msgspec.structs.replace(plan.recipe, **changes))
    assert found is not None
    return found.total


@given(st.sampled_from(CATALOG), st.floats(0.3, 200), st.floats(0.3, 200), st.integers(2, 300))
def test_less_memory_never_saves_less(model: ModelSpec, one: float, two: float, effective: int) -> None:
    small, large = (propose(model, cuda(free), overrides={"effective_batch": effective}) for free in sorted((one, two)))
    assert within_bounds(small.recipe)
    assert savings(small) >= savings(large)


@given(st.sampled_from(CATALOG), st.floats(0.3, 200), st.booleans())
def test_nothing_is_given_up_that_need_not_be(model: ModelSpec, free: float, gpu: bool) -> None:
    hardware = cuda(free) if gpu else machine(bf16=True, available=int(free * GIB))
    plan = propose(model, hardware)
    found, wished = plan.recipe, propose(model, machine(available=None)).recipe.max_length
    assert plan.predicted == place_of(hardware).estimate(model, found)
    if plan.verdict != "FITS":
        assert found.micro_batch == 1
        return
    if found.micro_batch == found.effective_batch:  # a whole window in one pass comes on top where memory is plenty
        assert plan.predicted.total <= 0.5 * hardware.free_training_bytes
        return
    lengths = [found.max_length]
    while 2 * lengths[-1] <= max(wished, 1024 if gpu else 512):
        lengths.append(2 * lengths[-1])
    kept = (-found.max_length, found.quantization == "nf4", found.gradient_checkpointing)
    for length, nf4, checkpointing in itertools.product(lengths, {False, gpu}, (False, True)):
        changes = {
            "max_length": length,
            "quantization": "nf4" if nf4 else "none",
            "gradient_checkpointing": checkpointing,
            "micro_batch": 1,
        }
        if (-length, nf4, checkpointing) < kept:
            assert total(plan, model, hardware, **changes) > FITS_SHARE * hardware.free_training_bytes, changes


def test_rows_of_a_pass_are_given_up_only_where_they_do_not_fit() -> None:
    for free in (6, 8, 10, 14, 20, 30):
        plan = propose(SEVEN_B, cuda(free))
        if plan.verdict == "FITS" and plan.recipe.micro_batch < 8:
            assert total(plan, SEVEN_B, cuda(free), micro_batch=2 * plan.recipe.micro_batch) > FITS_SHARE * free * GIB
            assert plan.because["micro_batch"].startswith(f"{free:.1f} GiB free: ")


@pytest.mark.parametrize("free", [0.0, 0.5])
def test_where_nothing_fits_the_thriftiest_is_proposed(free: float) -> None:
    plan = propose(SEVEN_B, cuda(free))
    found = plan.recipe
    assert plan.verdict == "NO"
    assert (found.micro_batch, found.gradient_checkpointing, found.quantization) == (1, True, "nf4")
    assert found.max_length == SHORTEST
    assert plan.would_fit is not None
    assert plan.would_fit.startswith("Even with 4-bit weights, rows one by one, 256 tokens, rank 8 it needs ")
    assert plan.would_fit.endswith("would have to be free")


def test_no_memory_at_all_is_said() -> None:
    for hardware in (cuda(0), machine(available=0)):
        plan = propose(SMALL, hardware)
        assert plan.verdict == "NO"
        assert "no memory is free" in plan.verdict_because


def test_what_is_chosen_by_hand_is_not_given_up_and_would_fit_says_what_would() -> None:
    chosen = {"quantization": "none", "max_length": 1024, "gradient_checkpointing": False, "micro_batch": 8}
    plan = propose(SEVEN_B, MACHINES["RTX 3070"], overrides=chosen)
    assert {name: getattr(plan.recipe, name) for name in chosen} == chosen
    assert plan.verdict == "NO"
    assert plan.would_fit is not None
    assert plan.would_fit.startswith("It would fit with 4-bit weights, rows one by one")


def test_what_fits_needs_no_advice() -> None:
    plan = propose(SMALL, MACHINES["H100"])
    assert plan.verdict == "FITS"
    assert plan.would_fit is None


def test_a_processor_is_told_nothing_of_4_bit_weights() -> None:
    plan = propose(SEVEN_B, MACHINES["CPU fp32"])
    assert plan.verdict == "NO"
    assert plan.would_fit is not None
    assert "4-bit" not in plan.would_fit


def test_a_tight_plan_goes_row_by_row_and_says_what_would_fit_better() -> None:
    smallest = place_of(cuda(1)).estimate(SEVEN_B, propose(SEVEN_B, cuda(0)).recipe)
    assert smallest is not None
    free = smallest.total / (FITS_SHARE + TIGHT_SHARE) * 2 / GIB
    plan = propose(SEVEN_B, cuda(free))
    assert plan.verdict == "TIGHT"
    assert plan.recipe.micro_batch == 1
    assert plan.would_fit is not None


@pytest.mark.parametrize("effective", [2, 5, 16, 1024, 2000, 4096])
def test_a_whole_window_in_one_pass_stays_within_the_bounds(effective: int) -> None:
    recipe = propose(SMALL, MACHINES["H100"], overrides={"effective_batch": effective, "max_length": 16}).recipe
    assert within_bounds(recipe)


def test_every_machine_says_who_trains() -> None:
    said = {name: propose(SMALL, hardware).backend for name, hardware in MACHINES.items()}
    assert said["Radeon"] == "TRL on ROCm"
    assert said["Mac"] == "TRL on Apple's MPS"
    assert said["CPU bf16"] == "TRL on the processor"
    assert said["T4"] == "TRL on CUDA"
