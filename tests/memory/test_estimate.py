"""What a run is predicted to need, how far that is trusted, and the verdict."""

import functools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import ModelSpec, find, load_catalog
from kto_tui.memory.coefficients import SAME_AS, TRACED
from kto_tui.memory.estimate import CONTEXT, RESERVED_RATIO, WORKSPACE, Estimate, estimate, verdict
from kto_tui.memory.measured import Correction
from kto_tui.memory.parts import PARTS, parts_of
from kto_tui.memory.predict import DeviceKind, Parts, Window, predict
from kto_tui.planner import propose
from kto_tui.recipe import Recipe
from kto_tui.units import GIB
from tests.memory.places import MACHINES, cuda

CATALOG = load_catalog()
LIKE_TRACED = [model for model in CATALOG if model.model_type in TRACED | set(SAME_AS)]
UNTRACED = [model for model in CATALOG if model not in LIKE_TRACED]
SEVEN_B = find("Qwen/Qwen2.5-7B-Instruct")
assert SEVEN_B is not None
DEVICES: tuple[DeviceKind, ...] = ("cuda", "rocm", "mps", "cpu")
RECIPES = st.builds(
    Recipe,
    micro_batch=st.integers(1, 32),
    effective_batch=st.just(64),
    max_length=st.integers(16, 8192),
    lora_rank=st.integers(1, 256),
    lora_targets=st.sampled_from(["minimal", "balanced", "full"]),
    precision=st.sampled_from(["bf16", "fp16", "fp32"]),
    quantization=st.sampled_from(["none", "nf4"]),
    gradient_checkpointing=st.booleans(),
)


def needing(share: float, free: int = 10_000) -> Estimate:
    parts = Parts(share * free, 0, 0, 0, 0, 0, 0)
    return Estimate(parts, 0, parts.total, "traced", "by hand")


@pytest.mark.parametrize(
    ("share", "word"),
    [(0.01, "FITS"), (0.85, "FITS"), (0.8501, "TIGHT"), (0.97, "TIGHT"), (0.9701, "NO"), (5, "NO")],
)
def test_borders_of_the_verdict(share: float, word: str) -> None:
    found, why = verdict(needing(share), 10_000)
    assert found == word
    assert f"({share:.0%})" in why


def test_what_is_unknown_gets_no_verdict() -> None:
    assert verdict(None, 10_000)[0] == "UNKNOWN"
    word, why = verdict(needing(0.5), None)
    assert word == "UNKNOWN"
    assert "unknown" in why


@pytest.mark.parametrize("free", [0, -1])
def test_no_free_memory_is_a_no(free: int) -> None:
    word, why = verdict(needing(0.5), free)
    assert word == "NO"
    assert "no memory is free" in why


@pytest.mark.parametrize("part", ["hidden_size", "intermediate_size", "heads", "kv_heads", "head_dim", "layers"])
def test_one_unknown_shape_leaves_a_rough_number(part: str) -> None:
    model = msgspec.structs.replace(SEVEN_B, **{part: None})
    assert predict(model, Recipe(), "cuda", "bf16") is None
    found = estimate(model, Recipe(), "cuda", "bf16")
    assert found is not None
    assert found.quality == "rough"
    assert "25 %" in found.note


def test_without_a_parameter_count_there_is_no_number() -> None:
    model = msgspec.structs.replace(SEVEN_B, parameters=None)
    assert estimate(model, Recipe(), "cuda", "bf16") is None
    plan = propose(model, MACHINES["RTX 3070"])
    assert (plan.verdict, plan.predicted) == ("UNKNOWN", None)


def test_unknown_free_memory_gives_the_need_without_a_verdict() -> None:
    plan = propose(SEVEN_B, cuda(None))
    assert plan.verdict == "UNKNOWN"
    assert plan.predicted is not None
    assert "GiB" in plan.verdict_because


@pytest.mark.parametrize(("micro_batch", "published_gib"), [(1, 5.97), (4, 7.34), (8, 9.2)])
def test_qwen_7b_is_near_the_published_trace(micro_batch: int, published_gib: float) -> None:
    """Published traces of TRL's own step, QLoRA r=16, checkpointing, 1024 tokens (batch 8: between the published
    batch 4 and 8 x 2048). Ours does the KL and reference passes apart, but the policy's backward pass is the worst."""
    recipe = Recipe(
        quantization="nf4",
        lora_rank=16,
        gradient_checkpointing=True,
        micro_batch=micro_batch,
        effective_batch=16,
        max_length=1024,
    )
    predicted = predict(SEVEN_B, recipe, "cuda", "bf16")
    assert predicted is not None
    assert predicted.total / GIB == pytest.approx(published_gib, rel=0.15)


def test_adapter_size_of_qwen_7b() -> None:
    """PEFT reports 40,370,176 trainable parameters for r=16 on all linear layers of Qwen2.5-7B."""
    for quantization, precision, element in [("none", "bf16", 4), ("nf4", "bf16", 2), ("nf4", "fp16", 4)]:
        recipe = Recipe(lora_rank=16, lora_targets="full", quantization=quantization)
        found = predict(SEVEN_B, recipe, "cuda", precision)
        assert found is not None
        assert found.adapter == pytest.approx(40_370_176 * element, rel=1e-6)
        assert found.optimizer == pytest.approx(2 * 40_370_176 * element, rel=1e-6)


def test_more_targets_make_a_larger_adapter() -> None:
    for model in LIKE_TRACED:
        if model.model_type == "phi3":  # its projections are fused: there are no smaller sets
            continue
        found = [predict(model, Recipe(lora_targets=name), "cuda", "bf16") for name in ("minimal", "balanced", "full")]
        sizes = [0 if one is None else one.adapter for one in found]
        assert 0 < sizes[0] < sizes[1] < sizes[2], model.id


@given(
    st.sampled_from(CATALOG),
    RECIPES,
    st.sampled_from(["micro_batch", "max_length", "lora_rank"]),
    st.integers(1, 500),
    st.sampled_from(DEVICES),
)
def test_more_of_anything_never_needs_less(
    model: ModelSpec, recipe: Recipe, name: str, more: int, device: DeviceKind
) -> None:
    most = {"micro_batch": 63, "max_length": 131_072, "lora_rank": 1024}[name]  # a micro-batch of 64 is a joint pass
    larger = msgspec.structs.replace(recipe, **{name: min(most, getattr(recipe, name) + more)})
    one, two = (estimate(model, each, device, "bf16") for each in (recipe, larger))
    assert one is not None
    assert two is not None
    assert one.total <= two.total


@given(st.sampled_from(CATALOG), RECIPES, st.sampled_from(DEVICES))
def test_parts_add_up_and_none_is_negative(model: ModelSpec, recipe: Recipe, device: DeviceKind) -> None:
    found = estimate(model, recipe, device, "bf16")
    assert found is not None
    parts = parts_of(found)
    assert [name for name, _ in parts] == list(PARTS)
    assert all(0 <= value < math.inf for _, value in parts)
    assert sum(value for _, value in parts) == pytest.approx(found.total)
    assert found.total == pytest.approx(found.allocated + found.outside)
    assert found.reserved >= found.allocated


@given(st.sampled_from(LIKE_TRACED), RECIPES)
def test_what_saves_memory_saves_memory(model: ModelSpec, recipe: Recipe) -> None:
    def total(**changes: object) -> float:
        found = estimate(model, msgspec.structs.replace(recipe, **changes), "cuda", "bf16")
        assert found is not None
        return found.total

    assert total(gradient_checkpointing=True) <= total(gradient_checkpointing=False)
    assert total(quantization="nf4", precision="bf16") < total(quantization="none", precision="bf16")
    assert total(precision="bf16", quantization="none") < total(precision="fp32", quantization="none")
    assert total(optimizer="paged_adamw_8bit") < total(optimizer="adamw_8bit") < total(optimizer="adamw_torch")
    assert total(loss_type="apo_zero_unpaired") <= total(loss_type="kto")


def test_bf16_and_fp16_need_the_same_without_quantisation() -> None:
    one, two = (predict(SEVEN_B, Recipe(precision=name), "cuda", "bf16") for name in ("bf16", "fp16"))
    assert one == two


def test_automatic_precision_is_the_devices_own() -> None:
    for precision in ("bf16", "fp32"):
        chosen = estimate(SEVEN_B, Recipe(precision=precision), "cpu", "fp32")
        assert estimate(SEVEN_B, Recipe(precision="auto"), "cpu", precision) == chosen


def test_what_lies_outside_the_allocator_depends_on_the_device() -> None:
    found = {device: estimate(SEVEN_B, Recipe(), device, "fp32") for device in DEVICES}
    assert all(one is not None for one in found.values())
    assert found["cuda"].outside == found["rocm"].outside == found["mps"].outside == CONTEXT
    assert found["cuda"].parts.head - found["mps"].parts.head == WORKSPACE, "cuBLAS holds a workspace"
    assert found["cuda"].reserved == found["cuda"].allocated * RESERVED_RATIO
    assert found["cpu"].reserved == found["cpu"].allocated, "there is no caching allocator"
    assert 0.1 * GIB < found["cpu"].outside < 2 * GIB


@pytest.mark.parametrize("model", UNTRACED, ids=lambda model: model.id)
def test_architectures_that_were_not_traced_get_a_rough_estimate_and_say_so(model: ModelSpec) -> None:
    for device in DEVICES:
        found = estimate(model, Recipe(), device, "bf16")
        assert found is not None
        assert found.quality == "rough"
        assert "not traced" in found.note
        assert found.total > 2 * (model.parameters or 0)


@pytest.mark.parametrize("model", LIKE_TRACED, ids=lambda model: model.id)
def test_a_rough_estimate_of_a_traced_model_is_not_far_off(model: ModelSpec) -> None:
    """The rough one says 25 %: held against the traced one of models that have both, at a usual window."""
    recipe = Recipe(gradient_checkpointing=True, quantization="nf4", max_length=512)
    stranger = msgspec.structs.replace(model, model_type="unheard_of")
    rough, traced = (estimate(one, recipe, "cuda", "bf16") for one in (stranger, model))
    assert rough is not None
    assert traced is not None
    assert (rough.quality, traced.quality) == ("rough", "traced")
    assert rough.total == pytest.approx(traced.total, rel=0.25)


@pytest.mark.parametrize(
    ("device", "backend", "words"),
    [("cuda", "hf", "traced,"), ("cpu", "hf", "traced,"), ("mps", "mlx", "MLX's"), ("cpu", "mlx", "MLX's")],
)
def test_a_correction_moves_everything_but_the_weights(device: DeviceKind, backend: str, words: str) -> None:
    predicted = functools.partial(estimate, SEVEN_B, Recipe(), device, "bf16", backend=backend)
    plain, corrected = predicted(), predicted(correction=Correction(1.1, 0.25 * GIB, 1))
    assert plain is not None
    assert corrected is not None
    weights = plain.parts.weights
    assert corrected.parts.weights == weights
    assert corrected.allocated - weights == pytest.approx(1.1 * (plain.allocated - weights))
    assert corrected.outside == 0.25 * GIB
    assert corrected.quality == "measured"
    assert corrected.reserved / corrected.allocated == pytest.approx(plain.reserved / plain.allocated)
    assert words in corrected.note
    assert "1 run on this machine" in corrected.note
    several = predicted(correction=Correction(1.0, None, 3))
    assert several is not None
    assert several.outside == plain.outside
    assert "3 runs" in several.note


def test_a_rough_estimate_stays_rough_when_it_is_corrected() -> None:
    found = estimate(UNTRACED[0], Recipe(), "cuda", "bf16", correction=Correction(1.1, None, 5))
    assert found is not None
    assert found.quality == "rough"


@pytest.mark.parametrize("name", MACHINES)
def test_every_model_has_a_number_and_a_reason_on_every_machine(name: str) -> None:
    for model in CATALOG:
        plan = propose(model, MACHINES[name])
        assert plan.verdict in {"FITS", "TIGHT", "NO"}
        assert plan.predicted is not None
        assert "needs about" in plan.verdict_because


def test_a_window_of_short_rows_needs_less_than_the_longest_rows() -> None:
    short = estimate(SEVEN_B, Recipe(), "cpu", "bf16", window=Window(100, 50))
    longest = estimate(SEVEN_B, Recipe(), "cpu", "bf16")
    assert short is not None
    assert longest is not None
    assert short.total < longest.total
