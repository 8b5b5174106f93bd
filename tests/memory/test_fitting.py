"""What is given up to fit a machine, in which order, and what is said about it."""

import itertools
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import ModelSpec, find, load_catalog
from kto_tui.hardware import Hardware
from kto_tui.memory.estimate import FITS_SHARE, TIGHT_SHARE, verdict
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
    """The more is given up, the larger: length before the optimizer, weights, checkpointing and rows."""
    recipe = plan.recipe
    if plan.verdict == "NO":  # all of it, but what would save next to nothing
        return (ORDER["NO"],)
    weights, paged = recipe.quantization == "nf4", recipe.optimizer != "adamw_torch"
    return ORDER[plan.verdict], -recipe.max_length, paged, weights, recipe.gradient_checkpointing, -recipe.micro_batch


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
            "optimizer": "adamw_torch",
            "max_length": length,
            "quantization": "nf4" if nf4 else "none",
            "gradient_checkpointing": checkpointing,
            "micro_batch": 1,
        }
        if (-length, nf4, checkpointing) < kept:
            needed = place_of(hardware).estimate(model, msgspec.structs.replace(plan.recipe, **changes))
            assert verdict(needed, hardware.free_training_bytes)[0] != "FITS", changes


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
    assert plan.would_fit.startswith("Even with rank 8, minimal LoRA targets it needs ")
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
    assert plan.would_fit.startswith("It would fit with 4-bit weights, ")


# Settings chosen by hand that do not fit, and the one thing at fault.
AT_FAULT = {
    "4-bit weights": {"quantization": "none", "gradient_checkpointing": True, "micro_batch": 1, "max_length": 256},
    "rank ": {"lora_rank": 1024},
    " tokens": {"max_length": 32_768, "gradient_checkpointing": True},
}


@pytest.mark.parametrize("words", AT_FAULT)
def test_only_what_must_change_is_named_and_with_it_the_model_fits(words: str) -> None:
    spec = find("Qwen/Qwen3-4B")
    assert spec is not None
    plan = propose(spec, MACHINES["RTX 3070"], overrides=AT_FAULT[words])
    assert plan.verdict == "NO"
    assert plan.would_fit is not None
    told = plan.would_fit.removeprefix("It would fit with ").rsplit(" (", 1)[0]
    assert words in told
    assert ", " not in told
    rank, tokens = re.search(r"rank (\d+)", told), re.search(r"([\d,]+) tokens", told)
    changes: dict[str, Any] = {"quantization": "nf4"} if "4-bit" in told else {}
    changes |= {"lora_rank": int(rank[1])} if rank else {}
    changes |= {"max_length": int(tokens[1].replace(",", ""))} if tokens else {}
    assert propose(spec, MACHINES["RTX 3070"], overrides=AT_FAULT[words] | changes).verdict == "FITS"


@given(st.sampled_from(CATALOG), st.sampled_from(sorted(MACHINES)), st.integers(1, 64), st.sampled_from([8, 64, 512]))
def test_what_would_fit_fits(model: ModelSpec, name: str, rows: int, rank: int) -> None:
    hardware = MACHINES[name]
    plan = propose(model, hardware, overrides={"lora_rank": rank, "effective_batch": 64, "micro_batch": rows})
    found = re.fullmatch(r"It would fit with (.*) \(.*\)( Under MLX.*)?", (plan.would_fit or "").replace(". U", " U"))
    if found is None:
        return
    told, recipe = found[1], plan.recipe
    values = {
        "4-bit": ("quantization", "nf4"),
        "checkpointing": ("gradient_checkpointing", True),
        "rows one": ("micro_batch", 1),
        "the paged": ("optimizer", "paged_adamw_8bit"),
        "minimal": ("lora_targets", "minimal"),
    }
    changes = dict(value for start, value in values.items() if start in told)
    for pattern, field in ((r"([\d,]+) tokens", "max_length"), (r"rank (\d+)", "lora_rank")):
        if number := re.search(pattern, told):
            changes[field] = int(number[1].replace(",", ""))
    assert changes
    followed = {field.name: getattr(recipe, field.name) for field in FIELDS} | changes
    assert propose(model, hardware, overrides=followed).verdict == "FITS"


def test_a_rough_figure_fits_only_with_room_for_its_error() -> None:
    spec = find("google/gemma-4-E4B-it")
    assert spec is not None
    plan = propose(spec, cuda(200))
    assert plan.predicted is not None
    assert plan.predicted.quality == "rough"
    for share, wanted in ((0.6, "FITS"), (0.75, "TIGHT"), (0.9, "TIGHT"), (0.99, "NO")):
        assert verdict(plan.predicted, int(plan.predicted.total / share))[0] == wanted


# What no device of a kind can train, chosen by hand, and a word of why.
REFUSED = [
    ("Mac", {"quantization": "nf4"}, "Apple"),
    ("Mac", {"precision": "fp16"}, "fp16 needs a CUDA device"),
    ("CPU bf16", {"precision": "fp16"}, "fp16 needs a CUDA device"),
    ("CPU bf16", {"optimizer": "paged_adamw_8bit"}, "needs a CUDA device"),
    ("T4", {"precision": "bf16"}, "compute capability"),
]


@pytest.mark.parametrize(("name", "chosen", "why"), REFUSED)
def test_what_the_backend_would_refuse_does_not_fit(name: str, chosen: dict[str, Any], why: str) -> None:
    plan = propose(SMALL, MACHINES[name], overrides=chosen)
    assert plan.verdict == "NO"
    assert why in plan.verdict_because
    assert propose(SMALL, MACHINES[name]).verdict == "FITS"


def test_targets_that_a_model_does_not_have_do_not_fit() -> None:
    spec = find("microsoft/Phi-3.5-mini-instruct")
    assert spec is not None
    plan = propose(spec, MACHINES["H100"], overrides={"lora_targets": "minimal"})
    assert plan.verdict == "NO"
    assert "q_proj" in plan.verdict_because
    assert "lora_targets to full" in plan.verdict_because


def test_an_architecture_that_transformers_does_not_know_gets_a_guess_and_no_verdict() -> None:
    spec = msgspec.structs.replace(SMALL, id="/models/new", model_type="frobnicator")
    plan = propose(spec, MACHINES["H100"])
    assert plan.verdict == "UNKNOWN"
    assert "frobnicator" in plan.verdict_because
    assert "by its size" in plan.verdict_because
    assert plan.predicted is not None
    assert plan.predicted.quality == "rough"


def test_of_a_model_that_was_not_read_nothing_is_claimed() -> None:
    plan = propose(ModelSpec(id="Qwen/Qwen2.5-7B-Instuct", title="typo"), MACHINES["RTX 3070"])
    assert plan.verdict == "UNKNOWN"
    assert plan.verdict_because.endswith("Did you mean Qwen/Qwen2.5-7B-Instruct?")
    for name in ("quantization", "gradient_checkpointing", "micro_batch"):
        assert plan.because[name] == "what fits is not known"


def test_a_length_beyond_the_context_is_said() -> None:
    assert SMALL.context is not None
    plan = propose(SMALL, MACHINES["H100"], overrides={"max_length": 2 * SMALL.context})
    assert "context is 8,192" in plan.because["max_length"]


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
