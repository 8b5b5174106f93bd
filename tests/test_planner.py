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
from kto_tui.hardware import Hardware
from kto_tui.hardware.presets import machine
from kto_tui.planner import load_presets, propose
from kto_tui.recipe import FIELDS, Recipe, check_recipe, check_value, with_overrides
from kto_tui.runs.config import RunRequest, load_config, to_toml
from tests.memory.places import MACHINES

CATALOG = load_catalog()
PRESETS = load_presets()
SEVEN_B = find("Qwen/Qwen2.5-7B-Instruct")
assert SEVEN_B is not None
UNKNOWN_MODEL = ModelSpec(id="some/model", title="model")


def within_bounds(recipe: Recipe) -> bool:
    check_recipe(recipe)
    return all(check_value(field.name, getattr(recipe, field.name)) == getattr(recipe, field.name) for field in FIELDS)


def test_rows_are_proposed_no_longer_than_mlx_computes_them_alike() -> None:
    phi, mac = find("microsoft/Phi-3.5-mini-instruct"), machine("mac-m4-max-128gb")
    assert phi is not None
    plan = propose(phi, mac, rows=500, row_tokens=6000, backend="mlx")
    assert (plan.recipe.max_length, plan.because["max_length"][:14]) == (4096, "mlx-lm compute")
    assert "longrope" not in plan.verdict_because
    assert propose(phi, mac, rows=500, row_tokens=6000, backend="hf").recipe.max_length > 4096


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


def test_a_long_run_is_evaluated_on_its_way() -> None:
    long = propose(SEVEN_B, MACHINES["H100"], rows=20_000).recipe
    short = propose(SEVEN_B, MACHINES["H100"], rows=600).recipe
    assert (short.eval_every, short.save_every) == (None, None)
    assert (long.eval_every, long.save_every) == (62, None)


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
