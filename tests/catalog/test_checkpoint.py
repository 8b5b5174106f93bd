"""Local checkpoint folders: what their weight files say, and what is told when one is broken or of another kind."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import ModelSpec, read_local
from tests.catalog.folders import LINEAR, PARAMETERS, SHAPES, refusal, write_model, write_weights


def test_a_local_llama(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    assert read_local(folder) == ModelSpec(
        id=str(folder),
        title="mine",
        parameters=PARAMETERS,
        model_type="llama",
        hidden_size=8,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=2,
        intermediate_size=16,
        vocab_size=10,
        tied_embeddings=False,
        context=128,
        gated=False,
        nf4_linear_params=LINEAR,
        lora_targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    )
    assert read_local(folder).non_quantised_params == PARAMETERS - LINEAR


def test_shards_are_added_up_and_a_second_copy_is_not(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    names = sorted(SHAPES)
    for number, part in enumerate((names[:5], names[5:]), 1):
        write_weights(folder / f"model-0000{number}-of-00002.safetensors", {name: SHAPES[name] for name in part})
    write_weights(folder / "consolidated.safetensors", {f"copy.{name}": SHAPES[name] for name in names})
    assert read_local(folder).parameters == PARAMETERS
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert "missing" in refusal(folder).what


def test_a_tied_head_stored_twice_counts_once(tmp_path: Path) -> None:
    spec = read_local(write_model(tmp_path, tie_word_embeddings=True))
    assert (spec.tied_embeddings, spec.parameters) == (True, PARAMETERS - 80)


def test_buffers_are_not_parameters(tmp_path: Path) -> None:
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": [1]}
    assert read_local(write_model(tmp_path, shapes=SHAPES | extra)).parameters == PARAMETERS


def test_tying_follows_from_the_weights_where_the_config_is_silent(tmp_path: Path) -> None:
    headless = {name: shape for name, shape in SHAPES.items() if name != "lm_head.weight"}
    assert read_local(write_model(tmp_path / "a", tie_word_embeddings=None)).tied_embeddings is False
    assert read_local(write_model(tmp_path / "b", tie_word_embeddings=None, shapes=headless)).tied_embeddings


def test_an_unfamiliar_architecture_keeps_its_count_but_not_the_split(tmp_path: Path) -> None:
    spec = read_local(write_model(tmp_path, model_type="mixtral", num_key_value_heads=None))
    assert (spec.parameters, spec.kv_heads) == (PARAMETERS, 4)
    assert (spec.nf4_linear_params, spec.non_quantised_params) == (None, None)


def test_torch_weights_leave_the_count_unknown(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    spec = read_local(folder)
    assert (spec.parameters, spec.nf4_linear_params, spec.non_quantised_params) == (None, LINEAR, None)


@pytest.mark.parametrize(
    ("config", "dtype", "method"),
    [
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "U8",
            "bitsandbytes",
        ),
        ({"quantization": {"group_size": 64, "bits": 4}}, "U32", "mlx"),
        ({}, "F8_E4M3", "f8_e4m3"),
    ],
)
def test_a_quantised_checkpoint_has_no_known_count(
    tmp_path: Path, config: dict[str, Any], dtype: str, method: str
) -> None:
    spec = read_local(write_model(tmp_path, dtype=dtype, **config))
    assert (spec.parameters, spec.non_quantised_params, spec.quantised) == (None, None, method)


@pytest.mark.parametrize("method", ["gptq", "awq", "gguf", "GPTQ"])
def test_checkpoints_that_cannot_be_trained_are_refused(tmp_path: Path, method: str) -> None:
    error = refusal(write_model(tmp_path, quantization_config={"quant_method": method}))
    assert method.upper() in error.what
    assert "original model" in error.mend


def test_a_gguf_file_or_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model-q4.gguf"
    file.write_bytes(b"GGUF")
    for place in (file, tmp_path):
        assert "GGUF" in refusal(place).what


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such model folder" in refusal(tmp_path / "nothing").what


def test_a_folder_without_config(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", SHAPES)
    assert "config.json" in refusal(tmp_path).what


def test_a_folder_without_weights(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"")
    assert "no weights" in refusal(folder).what


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"version https://git-lfs.github.com/spec/v1\n",
        (2**62).to_bytes(8, "little"),
        b"\2" + b"\0" * 7 + b"[]",
        (99).to_bytes(8, "little") + b'{"a": {"dtype": "BF16", "shape": [-1]}}',
        (99).to_bytes(8, "little") + b'{"a": {"dtype": "\\u001b[31m", "shape": [1]}}',
        (99).to_bytes(8, "little") + b'{"a": {"dtype": "BF16", "shape": ' + b"[" * 9999,
    ],
)
def test_damaged_weights(tmp_path: Path, content: bytes) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    error = refusal(folder)
    assert error.where == str(folder / "model.safetensors")
    assert "Damaged" in error.what


@given(shapes=st.dictionaries(st.text(min_size=1), st.lists(st.integers(0, 9), max_size=4), min_size=1))
def test_the_count_is_the_sum_over_all_tensors(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, list[int]]
) -> None:
    shapes = {f"{name}.weight": shape for name, shape in shapes.items() if name != "lm_head"}
    folder = write_model(tmp_path_factory.mktemp("model"), shapes=shapes | {"norm.weight": [3]}, model_type="mixtral")
    shapes["norm.weight"] = [3]
    assert read_local(folder).parameters == sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("layers", [1, 3, 10_000_000])
def test_weights_that_are_not_the_configs_are_refused(tmp_path: Path, layers: int) -> None:
    error = refusal(write_model(tmp_path, num_hidden_layers=layers))
    assert error.what.startswith("config.json describes a model of ")
    assert "the weight files hold 1 k" in error.what


def test_impossible_shapes_are_damage(tmp_path: Path) -> None:
    error = refusal(write_model(tmp_path, shapes=SHAPES | {"x": [10**9, 10**9]}))
    assert "Damaged" in error.what
