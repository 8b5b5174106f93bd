"""The proposed recipe, its reasons, and the memory it is predicted to need."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui import draft as drafts
from kto_tui.catalog import ModelSpec, find, load_catalog
from kto_tui.data.sources import STARTER
from kto_tui.errors import UserError
from kto_tui.hardware import Cpu, Gpu, Hardware, Memory
from kto_tui.memory.estimate import BASE_BYTES, Estimate, adapter_parameters, estimate, verdict
from kto_tui.planner import load_presets, propose
from kto_tui.recipe import FIELDS, Recipe, check_recipe, check_value, with_overrides
from kto_tui.runs.config import RunRequest, load_config, to_toml
from kto_tui.units import GIB

CATALOG = load_catalog()
PRESETS = load_presets()
SEVEN_B = find("Qwen/Qwen2.5-7B-Instruct")
assert SEVEN_B is not None
UNKNOWN_MODEL = ModelSpec(id="some/model", title="model")


def machine(*gpus: Gpu, bf16: bool = False, available: int | None = 16 * GIB) -> Hardware:
    cpu = Cpu("a processor", 4, 8, 8, bf16)
    return Hardware("host", "Linux", cpu, Memory(32 * GIB, available), gpus, 100 * GIB, over_ssh=False)


def cuda(free: float | None, capability: tuple[int, int] = (8, 6), name: str = "a card") -> Hardware:
    free_bytes = None if free is None else int(free * GIB)
    return machine(Gpu(0, name, "cuda", 80 * GIB, free_bytes, capability))


MACHINES = {
    "RTX 3070": cuda(7.6),
    "T4": cuda(14.6, (7, 5)),
    "H100": cuda(79, (9, 0)),
    "CPU bf16": machine(bf16=True, available=30 * GIB),
    "CPU fp32": machine(available=6 * GIB),
    "Mac": machine(Gpu(0, "Apple M2", "apple", 16 * GIB, 11 * GIB, unified=True)),
}


def within_bounds(recipe: Recipe) -> bool:
    check_recipe(recipe)
    return all(check_value(field.name, getattr(recipe, field.name)) == getattr(recipe, field.name) for field in FIELDS)


def rank_of_savings(recipe: Recipe) -> tuple[int, bool, bool, int]:
    return -recipe.micro_batch, recipe.gradient_checkpointing, recipe.quantization == "nf4", -recipe.max_length


@pytest.mark.parametrize("hardware", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_suits_every_model_and_machine(preset: msgspec.Struct, hardware: Hardware) -> None:
    for model in (*CATALOG, UNKNOWN_MODEL):
        for rows in (None, 60, 500, 3_000, 100_000):
            plan = propose(model, hardware, rows=rows, preset=preset)
            recipe = plan.recipe
            assert within_bounds(recipe)
            assert recipe.precision == hardware.precision
            assert set(plan.because) >= {field.name for field in FIELDS}
            assert all(plan.because.values())
            if hardware.device != "cuda":
                assert recipe.optimizer == "adamw_torch", "8-bit optimizers need CUDA"
            if hardware.device == "mps":
                assert recipe.quantization == "none", "bitsandbytes has no NF4 on Apple GPUs"
            given_up = {"cuda": set(), "cpu": {"optimizer"}, "mps": {"optimizer", "quantization"}}[hardware.device]
            kept = {name: value for name, value in preset.recipe.items() if name not in given_up}
            assert {name: getattr(recipe, name) for name in kept} == kept


def test_the_presets() -> None:
    assert next(iter(PRESETS)) == "usual"
    assert {"usual", "careful", "bold", "starter"} <= set(PRESETS)
    assert all(preset.name == name and preset.title and preset.summary for name, preset in PRESETS.items())
    assert all(set(preset.because) <= set(preset.recipe) for preset in PRESETS.values())


def test_a_preset_changes_the_automatic_learning_rate_by_its_factor() -> None:
    rates = {name: propose(SEVEN_B, MACHINES["H100"], preset=PRESETS[name]).recipe.learning_rate for name in PRESETS}
    assert rates["bold"] == 2 * rates["usual"] == 4 * rates["careful"]


def test_small_models_learn_faster() -> None:
    known = sorted(CATALOG, key=lambda model: model.parameters or 0)
    rates = [propose(model, MACHINES["H100"]).recipe.learning_rate for model in known]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


@pytest.mark.parametrize(("rows", "batch"), [(None, 16), (999, 8), (1_000, 16), (3_999, 16), (4_000, 32)])
def test_the_effective_batch_follows_the_rows(rows: int | None, batch: int) -> None:
    plan = propose(SEVEN_B, MACHINES["H100"], rows=rows)
    assert plan.recipe.effective_batch == batch
    assert plan.because["effective_batch"]


def test_a_long_run_is_evaluated_and_saved_on_its_way() -> None:
    long = propose(SEVEN_B, MACHINES["H100"], rows=20_000).recipe
    short = propose(SEVEN_B, MACHINES["H100"], rows=600).recipe
    assert (short.eval_every, short.save_every) == (None, None)
    assert long.eval_every == long.save_every == 125


def test_a_t4_gets_fp16() -> None:
    plan = propose(SEVEN_B, MACHINES["T4"])
    assert plan.recipe.precision == "fp16"
    assert "bf16" in plan.because["precision"]


def test_7b_on_8_gb_gives_up_what_it_must() -> None:
    plan = propose(SEVEN_B, MACHINES["RTX 3070"])
    assert plan.recipe.micro_batch == 1
    assert plan.recipe.gradient_checkpointing
    assert plan.recipe.quantization == "nf4"
    for name in ("micro_batch", "gradient_checkpointing", "quantization"):
        assert plan.because[name].startswith("7.6 GiB free: ")


def test_7b_on_80_gb_gives_up_nothing() -> None:
    plan = propose(SEVEN_B, MACHINES["H100"])
    assert (plan.recipe.micro_batch, plan.recipe.quantization, plan.verdict) == (8, "none", "FITS")
    assert not plan.recipe.gradient_checkpointing


@pytest.mark.parametrize("name", ["CPU bf16", "CPU fp32", "Mac"])
def test_nf4_is_proposed_on_cuda_only(name: str) -> None:
    assert all(propose(model, MACHINES[name]).recipe.quantization == "none" for model in CATALOG)


@given(st.sampled_from(CATALOG), st.floats(0.3, 200), st.floats(0.3, 200), st.integers(2, 300))
def test_less_memory_never_saves_less(model: ModelSpec, one: float, two: float, effective: int) -> None:
    small, large = (propose(model, cuda(free), overrides={"effective_batch": effective}) for free in sorted((one, two)))
    assert within_bounds(small.recipe)
    assert all(less >= more for less, more in zip(*map(rank_of_savings, (small.recipe, large.recipe)), strict=True))
    for plan in (small, large):
        assert plan.predicted == estimate(model, plan.recipe, "cuda")
        assert plan.predicted is not None
        if rank_of_savings(plan.recipe)[1:3] != (True, True):
            assert plan.verdict == "FITS", "there was more to give up"


@pytest.mark.parametrize("effective", [2, 3, 5, 6, 7, 9, 10, 12, 15, 25, 33, 101, 4095])
@pytest.mark.parametrize("hardware", MACHINES.values(), ids=MACHINES)
def test_any_effective_batch_by_hand_finds_a_micro_batch(effective: int, hardware: Hardware) -> None:
    recipe = propose(SEVEN_B, hardware, overrides={"effective_batch": effective}).recipe
    assert within_bounds(recipe)
    assert recipe.effective_batch == effective


OVERRIDES = {
    "learning_rate": 7e-5,
    "micro_batch": 16,
    "effective_batch": 64,
    "max_length": 4096,
    "quantization": "none",
    "gradient_checkpointing": False,
    "precision": "fp32",
    "beta": 0.3,
    "eval_every": 7,
    "desirable_weight": 1.5,
}


@given(st.sets(st.sampled_from(sorted(OVERRIDES))), st.sampled_from(sorted(PRESETS)), st.sampled_from(sorted(MACHINES)))
def test_what_is_set_by_hand_wins(names: set[str], preset: str, hardware: str) -> None:
    chosen = {name: OVERRIDES[name] for name in names}
    if "micro_batch" in chosen:
        chosen["effective_batch"] = 64
    plan = propose(SEVEN_B, MACHINES[hardware], rows=50_000, preset=PRESETS[preset], overrides=chosen)
    assert {name: getattr(plan.recipe, name) for name in chosen} == chosen
    for field in FIELDS:
        assert (plan.because[field.name] == "set by you") == (field.name in chosen)


@pytest.mark.parametrize("overrides", [{"beta": 0}, {"micro_batch": 1000}, {"nonsense": 1}, {"learning_rate": "fast"}])
def test_a_bad_override_is_named(overrides: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(overrides))):
        propose(SEVEN_B, MACHINES["H100"], overrides=overrides)


# Verdicts


def needing(share: float, free: int = 10_000) -> Estimate:
    return Estimate(weights=share * free, adapter=0, activations=0, head=0, base=0)


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (0.01, "FITS"),
        (0.85, "FITS"),
        (0.8501, "TIGHT"),
        (0.97, "TIGHT"),
        (0.9701, "NO"),
        (5, "NO"),
    ],
)
def test_borders_of_the_verdict(share: float, word: str) -> None:
    found, why = verdict(needing(share), 10_000)
    assert found == word
    assert f"({share:.0%})" in why


def test_what_is_unknown_gets_no_verdict() -> None:
    assert verdict(None, 10_000)[0] == "UNKNOWN"
    for free in (None, 0):
        word, why = verdict(needing(0.5), free)
        assert word == "UNKNOWN"
        assert "unknown" in why


@pytest.mark.parametrize(
    "part",
    ["hidden_size", "intermediate_size", "heads", "kv_heads", "head_dim", "layers", "parameters", "vocab_size"],
)
def test_one_unknown_shape_gives_no_number(part: str) -> None:
    model = msgspec.structs.replace(SEVEN_B, **{part: None})
    assert estimate(model, Recipe(), "cuda") is None
    plan = propose(model, MACHINES["RTX 3070"])
    assert (plan.verdict, plan.predicted) == ("UNKNOWN", None)
    assert within_bounds(plan.recipe)


def test_unknown_free_memory_gives_the_need_without_a_verdict() -> None:
    plan = propose(SEVEN_B, cuda(None))
    assert plan.verdict == "UNKNOWN"
    assert plan.predicted is not None
    assert "GiB" in plan.verdict_because


# Estimates


@pytest.mark.parametrize(("micro_batch", "published_gib"), [(4, 7.34), (2, 6.4)])
def test_qwen_7b_is_near_the_published_trace(micro_batch: int, published_gib: float) -> None:
    """Published fake-tensor traces of QLoRA r=16 on all linear layers, checkpointing, 1024 tokens, without context."""
    recipe = Recipe(
        quantization="nf4",
        precision="bf16",
        lora_rank=16,
        lora_targets="full",
        gradient_checkpointing=True,
        micro_batch=micro_batch,
        max_length=1024,
    )
    predicted = estimate(SEVEN_B, recipe, "cuda")
    assert predicted is not None
    assert (predicted.total - predicted.base) / GIB == pytest.approx(published_gib, rel=0.25)
    assert "25 %" in predicted.quality


def test_adapter_size_of_qwen_7b() -> None:
    """PEFT reports 40,370,176 trainable parameters for r=16 on all linear layers of Qwen2.5-7B."""
    assert adapter_parameters(SEVEN_B, Recipe(lora_rank=16, lora_targets="full")) == 40_370_176


def test_more_targets_make_a_larger_adapter() -> None:
    for model in CATALOG:
        sizes = [adapter_parameters(model, Recipe(lora_targets=name)) or 0 for name in ("minimal", "balanced", "full")]
        assert 0 < sizes[0] < sizes[1] < sizes[2]


RECIPES = st.builds(
    Recipe,
    micro_batch=st.integers(1, 64),
    effective_batch=st.just(64),
    max_length=st.integers(16, 8192),
    lora_rank=st.integers(1, 256),
    lora_targets=st.sampled_from(["minimal", "balanced", "full"]),
    precision=st.sampled_from(["bf16", "fp16", "fp32"]),
    quantization=st.sampled_from(["none", "nf4"]),
    gradient_checkpointing=st.booleans(),
)


@given(
    st.sampled_from(CATALOG),
    RECIPES,
    st.sampled_from(["micro_batch", "max_length", "lora_rank"]),
    st.integers(1, 500),
    st.sampled_from(sorted(BASE_BYTES)),
)
def test_more_of_anything_needs_more(model: ModelSpec, recipe: Recipe, name: str, more: int, device: str) -> None:
    larger = msgspec.structs.replace(recipe, **{name: getattr(recipe, name) + more})
    one, two = estimate(model, recipe, device), estimate(model, larger, device)
    assert one is not None
    assert two is not None
    assert one.total < two.total
    parts = [name for name in Estimate.__struct_fields__ if name != "quality"]
    assert one.total == pytest.approx(sum(getattr(one, part) for part in parts))
    assert all(0 < getattr(one, part) <= getattr(two, part) for part in parts)


@given(st.sampled_from(CATALOG), RECIPES)
def test_what_saves_memory_saves_memory(model: ModelSpec, recipe: Recipe) -> None:
    def total(**changes: object) -> float:
        found = estimate(model, msgspec.structs.replace(recipe, **changes), "cuda")
        assert found is not None
        return found.total

    assert total(gradient_checkpointing=True) < total(gradient_checkpointing=False)
    assert total(quantization="nf4") < total(quantization="none")
    assert total(precision="bf16") < total(precision="fp32")


# Drafts


def test_the_starter_draft_on_a_processor() -> None:
    draft = drafts.starter_draft(MACHINES["CPU bf16"])
    assert draft.starter_run
    assert draft.rows is not None
    assert draft.rows >= 480
    assert draft.preset == PRESETS["starter"]
    plan = drafts.plan(draft)
    assert plan.recipe.steps == 40
    assert plan.verdict == "FITS"
    assert plan.because["steps"] == PRESETS["starter"].because["steps"]


def test_the_starter_recipe_belongs_to_the_starter_run_on_a_processor() -> None:
    assert drafts.starter_draft(MACHINES["H100"]).preset == PRESETS["usual"]
    other = drafts.choose_model(drafts.starter_draft(MACHINES["CPU bf16"]), SEVEN_B)
    assert not other.starter_run
    assert other.preset == PRESETS["usual"]
    picked = drafts.choose_preset(other, PRESETS["bold"])
    assert drafts.plan(picked).recipe.lora_rank == 32


def test_a_draft_becomes_a_run_configuration_and_back(tmp_path: Path) -> None:
    draft = msgspec.structs.replace(drafts.starter_draft(MACHINES["CPU fp32"]), overrides={"beta": 0.2}, trial=True)
    config = drafts.to_config(draft)
    assert config.data == STARTER
    assert config.because["beta"] == "set by you"
    assert config.data_fingerprint == draft.source.dataset.fingerprint
    file = tmp_path / "run.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert load_config(file) == config


def test_a_request_becomes_a_draft() -> None:
    request = RunRequest(model=SEVEN_B.id, data=STARTER, trial=True, overrides={"lora_rank": 8})
    draft = drafts.from_request(request, MACHINES["RTX 3070"])
    assert (draft.model, draft.data, draft.trial) == (SEVEN_B, STARTER, True)
    plan = drafts.plan(draft)
    assert plan.recipe.lora_rank == 8
    assert plan.because["lora_rank"] == "set by you"


def test_a_trial_plans_for_few_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [f'{{"prompt": "p{n}", "completion": "c", "label": {str(n % 2 == 0).lower()}}}' for n in range(1500)]
    file.write_text("\n".join(lines))
    draft = drafts.choose_data(drafts.choose_model(drafts.Draft(hardware=MACHINES["H100"]), SEVEN_B), str(file))
    assert draft.data == str(file)
    assert drafts.plan(draft).recipe.effective_batch == 16
    assert drafts.plan(msgspec.structs.replace(draft, trial=True)).recipe.effective_batch == 8


def test_an_unfinished_draft_cannot_run(tmp_path: Path) -> None:
    empty = drafts.Draft(hardware=MACHINES["H100"])
    assert empty.rows is None
    with pytest.raises(UserError, match="model"):
        drafts.plan(empty)
    with pytest.raises(UserError, match="not both chosen"):
        drafts.to_config(drafts.choose_model(empty, SEVEN_B))
    one_label = tmp_path / "rows.jsonl"
    one_label.write_text('{"prompt": "p", "completion": "c", "label": true}\n')
    with pytest.raises(UserError, match="needs both"):
        drafts.choose_data(empty, str(one_label))


def test_overrides_of_a_plan_make_the_same_recipe_again() -> None:
    plan = propose(SEVEN_B, MACHINES["RTX 3070"], rows=9_000, preset=PRESETS["usual"])
    assert with_overrides(Recipe(), msgspec.structs.asdict(plan.recipe)) == plan.recipe
