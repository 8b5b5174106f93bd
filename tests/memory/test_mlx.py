"""Memory under MLX: predicted beside what its allocator counted in real steps, and what plans make of it."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mlx_memory import TABLE, Configuration, measure, predict
from kto_tui.catalog import ModelSpec, find, load_catalog
from kto_tui.hardware.presets import machine
from kto_tui.memory import mlx as arithmetic
from kto_tui.memory.estimate import estimate
from kto_tui.memory.measured import PeakRecord, add
from kto_tui.memory.mlx import linears, predict_mlx, weight_bytes_mlx
from kto_tui.memory.predict import Window
from kto_tui.planner import place_of, propose
from kto_tui.recipe import Recipe
from kto_tui.units import GIB
from tests.memory.places import MACHINES

ROWS = msgspec.json.decode(TABLE.read_bytes(), type=list[Configuration])
HELD_OUT = [row for row in ROWS if not row.fitted]
MODELS = [model for model in load_catalog() if linears(model) is not None and model.parameters is not None]
SMALL, SEVEN_B = find("HuggingFaceTB/SmolLM2-135M-Instruct"), find("Qwen/Qwen2.5-7B-Instruct")
assert SMALL is not None
assert SEVEN_B is not None
SHAPE = {
    "model_type": "llama", "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 700, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "max_position_embeddings": 512, "rope_theta": 10000.0,
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_predictions_are_within_a_tenth_of_what_was_measured(row: Configuration) -> None:
    assert row.measured is not None
    assert predict(row) == pytest.approx(row.measured, rel=0.1)


def test_enough_was_held_out_of_the_fit() -> None:
    assert len(HELD_OUT) >= 8
    assert {row.shape["model_type"] for row in HELD_OUT} >= {"llama", "qwen2", "qwen3"}
    assert any(row.name.startswith("SmolLM2-135M") for row in HELD_OUT)


def test_a_step_taken_now_needs_what_is_predicted() -> None:
    recipe = {"precision": "fp32", "micro_batch": 2, "effective_batch": 4, "max_length": 96, "lora_rank": 8}
    # 3 layers: 2 x (96*128 + 96*64) + 3 * 96*256 + 2*96 each, embeddings, and the last norm.
    row = Configuration(
        name="tiny", shape=SHAPE, parameters=3 * (36_864 + 73_728 + 192) + 96 * 700 + 96, recipe=recipe, scored=60
    )
    assert predict(row) == pytest.approx(max(measure(row)[1:]), rel=0.1)


@pytest.mark.parametrize("bits", ["int4", "int8"])
@pytest.mark.parametrize("hidden", [128, 96])
def test_quantised_weights_are_counted_to_the_byte(bits: str, hidden: int, tmp_path: Path) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs
    from mlx_lm.utils import quantize_model

    from kto_tui.catalog.config_file import read_config

    shape = SHAPE | {"hidden_size": hidden}
    model = Model(ModelArgs.from_dict(shape))
    model.set_dtype(mx.bfloat16)
    count = sum(each.size for _, each in tree_flatten(model.parameters()))
    model, _ = quantize_model(model, {}, 64, int(bits.removeprefix("int")))
    found = sum(each.nbytes for _, each in tree_flatten(model.parameters()))
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(shape))
    spec = read_config(tmp_path, ModelSpec(id="m", title="m", parameters=count))
    assert weight_bytes_mlx(spec, Recipe(quantization=bits), element=2) == found  # type: ignore[arg-type]


def test_the_arithmetic_has_the_backends_own_numbers() -> None:
    from kto_tui.backends.mlx import model, packs, scoring, step

    assert arithmetic.MULTIPLE == packs.LENGTH_MULTIPLE == packs.SCORED_MULTIPLE
    assert arithmetic.TILE_BYTES == scoring.TILE_BYTES
    assert arithmetic.BITS == model.BITS
    rooms = arithmetic.WITHOUT_GRADIENT, arithmetic.WITH_CHECKPOINTING
    assert rooms == (step.WITHOUT_GRADIENT, step.WITH_CHECKPOINTING)
    for count in (1, 31, 33, 255, 1000, 1024, 5000):
        assert arithmetic.scored_size(count) == packs.scored_size(count)


RECIPES = st.builds(
    Recipe,
    method=st.sampled_from(["kto", "sft"]),
    loss_type=st.sampled_from(["kto", "apo_zero_unpaired"]),
    lora_rank=st.integers(1, 512),
    lora_targets=st.sampled_from(["minimal", "balanced", "full"]),
    use_dora=st.booleans(),
    quantization=st.sampled_from(["none", "int4", "int8"]),
    precision=st.sampled_from(["auto", "bf16", "fp32"]),
    gradient_checkpointing=st.booleans(),
)


@given(st.sampled_from(MODELS), RECIPES, st.integers(1, 64), st.integers(16, 8192), st.booleans(), st.data())
def test_more_never_needs_less(
    model: ModelSpec, recipe: Recipe, rows: int, length: int, metal: bool, data: st.DataObject
) -> None:
    def needed(rank: int, rows: int, length: int) -> float:
        one = msgspec.structs.replace(recipe, lora_rank=rank, micro_batch=rows, effective_batch=4 * rows)
        found = predict_mlx(model, one, Window(length, length - 1), metal=metal)
        assert found is not None
        return found.total

    more = data.draw(st.tuples(st.integers(0, 512), st.integers(0, 64), st.integers(0, 4096)))
    least = needed(recipe.lora_rank, rows, length)
    assert least > 0
    assert needed(recipe.lora_rank + more[0], rows + more[1], length + more[2]) >= least


def test_fewer_bits_and_metal_without_scores_need_less() -> None:
    def needed(metal: bool = True, **changes: object) -> float:
        recipe = msgspec.structs.replace(Recipe(gradient_checkpointing=True), **changes)
        found = predict_mlx(SEVEN_B, recipe, Window(1024, 1023), metal=metal)
        assert found is not None
        return found.total

    assert needed(quantization="int4") < needed(quantization="int8") < needed() < needed(precision="fp32")
    assert needed(precision="bf16", micro_batch=1) < needed(False, precision="bf16", micro_batch=1)


def test_a_planned_mac_gets_four_bits_where_16_do_not_fit() -> None:
    mac = machine("mac-m4-24gb")
    plan = propose(SEVEN_B, mac, backend="mlx")
    assert (plan.verdict, plan.recipe.quantization) == ("FITS", "int4")
    assert "16-bit weights would not fit" in plan.because["quantization"]
    assert plan.predicted is not None
    assert "not measured on Metal" in plan.predicted.note
    assert plan.predicted.quality == "fitted"
    assert propose(SMALL, mac, backend="mlx").recipe.quantization == "none"
    by_hand = {"quantization": "none", "gradient_checkpointing": False}
    too_large = propose(SEVEN_B, mac, overrides=by_hand, backend="mlx")
    assert too_large.verdict == "NO"
    assert too_large.would_fit is not None
    assert too_large.would_fit.startswith("It would fit with 4-bit weights")


def test_a_processor_is_not_led_to_four_bits() -> None:
    plan = propose(SEVEN_B, MACHINES["CPU fp32"], backend="mlx")
    assert (plan.verdict, plan.recipe.quantization) == ("NO", "none")
    assert "4-bit" not in (plan.would_fit or "")


def test_trl_on_a_mac_is_told_what_mlx_would_need() -> None:
    plan = propose(SEVEN_B, MACHINES["Mac"])
    assert plan.verdict == "NO"
    assert plan.would_fit is not None
    assert "Under MLX with quantization int4 it would need" in plan.would_fit


def test_runs_correct_the_predictions_of_their_own_backend() -> None:
    mac = MACHINES["Mac"]
    plain = {name: place_of(mac, name).estimate(SMALL, Recipe()) for name in ("hf", "mlx")}
    add(
        PeakRecord(
            device=mac.device_name or "", run="r", weights=GIB, predicted=2 * GIB, measured=2.2 * GIB, backend="mlx"
        )
    )
    assert place_of(mac, "hf").estimate(SMALL, Recipe()) == plain["hf"]
    found, before = place_of(mac, "mlx").estimate(SMALL, Recipe()), plain["mlx"]
    assert found is not None
    assert before is not None
    assert found.quality == "measured"
    assert found.allocated - found.parts.weights == pytest.approx(1.2 * (before.allocated - before.parts.weights))


def test_an_unknown_architecture_is_rough_and_an_unknown_shape_is_not_guessed() -> None:
    stranger = msgspec.structs.replace(SEVEN_B, model_type="gemma2")
    found = estimate(stranger, Recipe(), "mps", "bf16", backend="mlx")
    assert found is not None
    assert found.quality == "rough"
    assert estimate(ModelSpec(id="a/b", title="b"), Recipe(), "mps", "bf16", backend="mlx") is None
