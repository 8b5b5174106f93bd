"""config.json files as they are found: of any architecture, nested, of other kinds of model, and broken."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from kto_tui.catalog import ModelSpec, config_values, find, load_catalog, read_local
from kto_tui.catalog.config_file import KINDS
from kto_tui.catalog.model import STRUCTURE, SUPPORTED, causal_architectures
from kto_tui.errors import UserError
from tests.catalog.folders import CONFIG, LINEAR, PARAMETERS, SHAPES, refusal, write_model, write_weights


def write_config(folder: Path, text: str | bytes) -> Path:
    write_weights(folder / "model.safetensors", SHAPES)
    (folder / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


@pytest.mark.parametrize("model_id", ["Qwen/Qwen3-4B", "google/gemma-3-1b-it", "mistralai/Mistral-7B-Instruct-v0.3"])
def test_what_transformers_writes_is_read_as_the_catalog_has_it(tmp_path: Path, model_id: str) -> None:
    spec = find(model_id)
    assert spec is not None
    AutoConfig.for_model(spec.model_type, **config_values(spec)).save_pretrained(tmp_path)
    write_weights(tmp_path / "model.safetensors", {"all.weight": [spec.parameters or 0]})
    found = read_local(tmp_path)
    names = ["model_type", "hidden_size", "layers", "heads", "kv_heads", "head_dim", "intermediate_size", "vocab_size"]
    names += ["tied_embeddings", "context", "nf4_linear_params", "lora_targets"]
    assert {name: getattr(found, name) for name in names} == {name: getattr(spec, name) for name in names}
    assert found.supported is True
    assert config_values(found).items() >= config_values(spec).items()


@pytest.mark.parametrize(
    ("wrapper", "inner"),
    [("gemma3", "gemma3_text"), ("qwen3_5", "qwen3_5_text"), ("llama4", "llama4_text")],
)
def test_the_text_model_of_a_vision_language_checkpoint(tmp_path: Path, wrapper: str, inner: str) -> None:
    text = CONFIG | {"model_type": inner, "num_experts": None, "head_dim": 32}
    outer = {"model_type": wrapper, "architectures": ["XForConditionalGeneration"], "vision_config": {"hidden_size": 9}}
    spec = read_local(write_config(tmp_path, json.dumps(outer | {"text_config": text, "hidden_size": 77})))
    assert (spec.model_type, spec.hidden_size, spec.head_dim, spec.layers) == (inner, 8, 32, 2)
    assert spec.note == f"the text model of a {wrapper} checkpoint"
    assert (spec.parameters, spec.nf4_linear_params) == (PARAMETERS, None), "the vision tower has linear layers too"
    assert spec.supported is (inner in SUPPORTED)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava", "text_config": CONFIG},
        CONFIG | {"model_type": "qwen2_vl"},
        CONFIG | {"model_type": "frobnicator"},
    ],
)
def test_what_transformers_does_not_load_as_a_language_model_is_known(
    tmp_path: Path, config: dict[str, object]
) -> None:
    spec = read_local(write_config(tmp_path, json.dumps(config)))
    assert (spec.model_type, spec.known_to_transformers) == (config["model_type"], False)


def test_architectures_are_those_of_the_installed_transformers() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert causal_architectures() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert causal_architectures() >= SUPPORTED


def test_key_value_heads_that_cannot_be_shared(tmp_path: Path) -> None:
    error = refusal(write_model(tmp_path, num_attention_heads=4, num_key_value_heads=3))
    assert "3 key-value heads cannot share 4 heads" in error.what


def test_an_unfamiliar_architecture_has_shapes_but_is_not_supported(tmp_path: Path) -> None:
    spec = read_local(write_model(tmp_path, model_type="olmo2", architectures=["Olmo2ForCausalLM"]))
    assert (spec.hidden_size, spec.layers, spec.parameters) == (8, 2, PARAMETERS)
    assert (spec.supported, spec.nf4_linear_params, spec.lora_targets) == (False, None, None)
    assert ModelSpec(id="a/b", title="b").supported is None


def test_older_words_for_the_same_shapes(tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12, "n_head": 12}
    spec = read_local(write_config(tmp_path, json.dumps(gpt2 | {"n_positions": 1024, "n_inner": None})))
    assert (spec.hidden_size, spec.layers, spec.heads, spec.context) == (768, 12, 12, 1024)
    assert (spec.head_dim, spec.intermediate_size, spec.supported) == (64, None, False)


def test_shapes_that_vary_by_layer_are_unknown_elsewhere_and_wrong_here(tmp_path: Path) -> None:
    spec = read_local(write_model(tmp_path, model_type="openelm", num_key_value_heads=[1, 2], layer_types=[[1]]))
    assert (spec.hidden_size, spec.kv_heads) == (8, 4)
    assert "num_key_value_heads" in refusal(write_model(tmp_path, num_key_value_heads=[1, 2])).what


def test_structure_is_kept_and_may_be_null(tmp_path: Path) -> None:
    spec = read_local(write_model(tmp_path, sliding_window=None, layer_types=["full_attention"] * 2, rope_theta=1e4))
    assert spec.config == {"layer_types": ["full_attention"] * 2, "sliding_window": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "t5"}, "encoder-decoder (t5)"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "text encoder (bert)"),
        ({"model_type": "clip", "text_config": {"model_type": "clip_text_model"}}, "image or sound model (clip)"),
        ({"_diffusers_version": "0.30", "model_type": None}, "diffusion"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"architectures": ["LlamaModel"]}, "LlamaModel"),
    ],
)
def test_other_kinds_of_model_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    error = refusal(write_model(tmp_path, **changes))
    assert said in error.what
    assert "not a causal language model" in error.what


def test_an_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "adapter" in refusal(tmp_path).what


def test_no_architecture_is_both_supported_and_refused() -> None:
    assert not KINDS.keys() & SUPPORTED
    assert {key for spec in load_catalog() for key in spec.config} <= STRUCTURE


GOOD = json.dumps(CONFIG)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        GOOD[:-20],
        "[1]",
        '"llama"',
        "null",
        "\xff",
        GOOD.encode("utf-16"),
        '{"a":' * 100_000,
        "[" * 1_000_000,
        " " * (8 * 2**20) + GOOD,
        b"\0" * 4096,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_broken_config(tmp_path: Path, text: str | bytes) -> None:
    error = refusal(write_config(tmp_path, text.encode("latin-1") if isinstance(text, str) else text))
    assert error.where == str(tmp_path / "config.json")
    assert "JSON object" in error.what
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "vocab_size", "head_dim", "max_position_embeddings"]
)
@pytest.mark.parametrize("value", ["big", -1, 0, True, 1.5, 10**30, {}, "8", float("nan")])
def test_an_absurd_value_is_named(tmp_path: Path, key: str, value: object) -> None:
    error = refusal(write_model(tmp_path, **{key: value}))
    assert error.where == str(tmp_path / "config.json")
    assert "impossible value" in error.what
    assert f"$.{key}" in error.what


def test_a_number_of_ten_thousand_digits(tmp_path: Path) -> None:
    text = GOOD.replace('"vocab_size": 10', '"vocab_size": 1' + "0" * 9999)
    assert "$.vocab_size" in refusal(write_config(tmp_path, text)).what


def test_impossible_structure_is_named(tmp_path: Path) -> None:
    assert "layer_types" in refusal(write_model(tmp_path, layer_types=[["full_attention"]])).what


@pytest.mark.parametrize("value", [7, [], True, "", "\ud800", "two words", "x" * 99, "\x1b[31m", {}])
def test_an_absurd_model_type(tmp_path: Path, value: object) -> None:
    error = refusal(write_model(tmp_path, model_type=value))
    assert "$.model_type" in error.what
    str(error).encode()


def test_a_config_without_model_type(tmp_path: Path) -> None:
    assert "model_type" in refusal(write_model(tmp_path, model_type=None)).what


def test_a_config_that_is_no_file(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", SHAPES)
    (tmp_path / "config.json").mkdir()
    assert "regular file" in refusal(tmp_path).what


@pytest.mark.parametrize("method", [None, 7, "", "\ud800", "x" * 99, [], {"a": 1}])
def test_an_odd_quantisation_is_unknown(tmp_path: Path, method: object) -> None:
    spec = read_local(write_model(tmp_path, quantization_config={"quant_method": method}))
    assert spec.quantised in {"unknown", "7"}
    assert spec.nf4_linear_params == LINEAR


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = [*CONFIG, "text_config", "architectures", "quantization_config", "quantization", "is_encoder_decoder", "n_embd"]
KEYS += ["head_dim", "layer_types", "sliding_window", "num_experts"]
SANE = st.integers(1, 4096) | st.sampled_from(sorted(SUPPORTED)) | st.booleans()
NEARLY = st.dictionaries(st.sampled_from(KEYS), SANE | ANY)


@settings(max_examples=400)
@given(config=st.dictionaries(st.text(), ANY) | NEARLY | NEARLY.map(lambda c: CONFIG | c) | NEARLY.map(CONFIG.__or__))
def test_any_object_is_a_model_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("model")
    try:
        found: ModelSpec | UserError = read_local(write_config(folder, json.dumps(config)))
    except UserError as error:
        found = error
    str(found).encode()
    if isinstance(found, ModelSpec):
        assert found.model_type
        assert all(value is None or value > 0 for value in (found.hidden_size, found.heads, found.nf4_linear_params))
    else:
        assert found.mend
