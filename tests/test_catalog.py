"""The shipped catalog, local checkpoint folders and cached downloads.

The constructed folders follow the safetensors format description (8 bytes of little-endian header length,
then a JSON header), huggingface_hub's cache layout (refs/main names a folder below snapshots) and the
config.json keys of transformers' LlamaConfig.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui import catalog, paths
from kto_tui.catalog import ModelSpec, find, load_catalog, read_local, resolve
from kto_tui.errors import UserError

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 10,
    "tie_word_embeddings": False,
    "max_position_embeddings": 128,
}
LAYER = {
    "self_attn.q_proj": [8, 8],
    "self_attn.k_proj": [4, 8],
    "self_attn.v_proj": [4, 8],
    "self_attn.o_proj": [8, 8],
    "mlp.gate_proj": [16, 8],
    "mlp.up_proj": [16, 8],
    "mlp.down_proj": [8, 16],
    "input_layernorm": [8],
    "post_attention_layernorm": [8],
}
LINEAR = 2 * (64 + 32 + 32 + 64 + 3 * 128)
SHAPES = {
    "model.embed_tokens.weight": [10, 8],
    "model.norm.weight": [8],
    "lm_head.weight": [10, 8],
} | {f"model.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in LAYER.items()}
PARAMETERS = LINEAR + 2 * 16 + 8 + 2 * 80


def write_weights(file: Path, shapes: dict[str, list[int]], dtype: str = "BF16") -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    header |= {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 16)


def write_model(folder: Path, *, shapes: dict[str, list[int]] = SHAPES, dtype: str = "BF16", **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    write_weights(folder / "model.safetensors", shapes, dtype)
    return folder


def refusal(folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_local(folder)
    error = caught.value
    assert error.where is not None
    assert error.where.startswith(str(folder))
    assert error.mend
    return error


# The shipped catalog


def shape(spec: ModelSpec) -> tuple[int, int, int, int, int, int, int]:
    known = (
        spec.hidden_size,
        spec.layers,
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
        spec.intermediate_size,
        spec.vocab_size,
    )
    assert None not in known
    return known  # type: ignore[return-value]


def derived_linear(spec: ModelSpec) -> int:
    hidden, layers, heads, kv_heads, dim, wide, _ = shape(spec)
    query_output, key_value, mlp = 2 * hidden * heads * dim, 2 * hidden * kv_heads * dim, 3 * hidden * wide
    return layers * (query_output + key_value + mlp)


def derived_rest(spec: ModelSpec) -> int:
    hidden, layers, heads, kv_heads, dim, _, vocabulary = shape(spec)
    embeddings = vocabulary * hidden * (1 if spec.tied_embeddings else 2)
    norms_per_layer = 4 if spec.model_type == "gemma2" else 2
    bias = {"qwen2": (heads + 2 * kv_heads) * dim}.get(str(spec.model_type), 0)
    query_key_norms = {"qwen3": 2 * dim}.get(str(spec.model_type), 0)
    return embeddings + layers * (norms_per_layer * hidden + bias + query_key_norms) + hidden


@pytest.mark.parametrize("spec", load_catalog(), ids=lambda spec: spec.id)
def test_counts_follow_from_the_shapes(spec: ModelSpec) -> None:
    assert spec.model_type in {"llama", "mistral", "qwen2", "qwen3", "phi3", "smollm3", "gemma2"}
    assert spec.nf4_linear_params == derived_linear(spec)
    assert spec.non_quantised_params == derived_rest(spec)
    assert spec.parameters == derived_linear(spec) + derived_rest(spec)


def test_the_catalog_is_a_sorted_list_of_different_models() -> None:
    models = load_catalog()
    sizes = [spec.parameters for spec in models if spec.parameters is not None]
    assert len(sizes) == len(models) >= 20
    assert sizes == sorted(sizes)
    assert len({spec.id for spec in models}) == len({spec.title for spec in models}) == len(models)
    assert models[0].id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert sizes[-1] > 70e9
    assert all(spec.quantised is None and spec.context for spec in models)
    assert {spec.model_type for spec in models} <= catalog.LLAMA_LIKE


def test_find() -> None:
    spec = find("Qwen/Qwen2.5-7B-Instruct")
    assert spec is not None
    assert (spec.parameters, spec.tied_embeddings, spec.licence) == (7_615_616_512, False, "apache-2.0")
    assert find("Qwen/Qwen2.5-7B") is None


FIRST = """[[model]]
id = "a/b"
title = "B"
parameters = 10
model_type = "llama"
hidden_size = 1
layers = 1
heads = 1
kv_heads = 1
head_dim = 1
intermediate_size = 1
vocab_size = 1
tied_embeddings = true
context = 1
licence = "mit"
gated = false
nf4_linear_params = 7
non_quantised_params = 3
"""


def test_a_catalog_needs_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    (tmp_path / "models.toml").write_text(FIRST)
    assert [(spec.id, spec.note) for spec in load_catalog()] == [("a/b", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FIRST.replace("layers = 1\n", ""), ["a/b", "layers"]),
        (FIRST + "colour = 1\n", ["a/b", "colour"]),
        (FIRST.replace("heads = 1", "heads = 'one'", 1), ["a/b", "heads"]),
        (FIRST.replace("vocab_size = 1", "vocab_size = 0"), ["a/b", "vocab_size"]),
        (FIRST.replace('id = "a/b"\n', ""), ["model 1", "id"]),
        (FIRST + FIRST, ["a/b", "twice"]),
        ("[[model]\n", ["Unreadable"]),
        ("", ["Unreadable"]),
        ("[[modell]]\n", ["modell"]),
        ("model = 1\n", ["array"]),
    ],
)
def test_a_bad_catalog_names_file_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: list[str]
) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    (tmp_path / "models.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_catalog()
    sentence = str(caught.value)
    assert all(word in sentence for word in [*said, str(tmp_path / "models.toml")])


def test_a_missing_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    with pytest.raises(UserError, match=r"models\.toml.*reinstall"):
        load_catalog()


# Local folders


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
        non_quantised_params=PARAMETERS - LINEAR,
    )


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


@pytest.mark.parametrize("text", ["{", "", "[1]", '"llama"', '{"hidden_size": "big"}', '{"vocab_size": -1}', "\xff"])
def test_a_broken_config(tmp_path: Path, text: str) -> None:
    folder = write_model(tmp_path)
    (folder / "config.json").write_text(text, encoding="latin-1")
    error = refusal(folder)
    assert error.where == str(folder / "config.json")
    assert "JSON object" in error.what


def test_a_config_without_model_type(tmp_path: Path) -> None:
    assert "model_type" in refusal(write_model(tmp_path, model_type=None)).what


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
    folder = write_model(tmp_path_factory.mktemp("model"), shapes=shapes | {"norm.weight": [3]})
    shapes["norm.weight"] = [3]
    assert read_local(folder).parameters == sum(math.prod(shape) for shape in shapes.values())


# What a person types


def test_resolve_takes_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(folder), "./mine", "mine", "~/mine", "  mine "):
        assert resolve(text).id == str(folder)


@pytest.mark.parametrize("text", ["./nothing", "/nothing/at/all", "~nobody-here/model", "/" + "x" * 5000, "./a\0b"])
def test_resolve_says_when_a_folder_is_missing(text: str) -> None:
    with pytest.raises(UserError, match="no such model folder"):
        resolve(text)


def test_resolve_takes_catalog_ids() -> None:
    assert resolve(" Qwen/Qwen3-8B ") is find("Qwen/Qwen3-8B")


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub cache keeps the main revision of acme/tiny; nothing is in it yet."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--acme--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots" / "0ld").mkdir(parents=True)
    return repository / "snapshots" / "c0ffee"


UNKNOWN = ModelSpec(id="acme/tiny", title="tiny")


def test_resolve_reads_a_cached_download(snapshot: Path) -> None:
    write_model(snapshot)
    spec = resolve("acme/tiny")
    assert (spec.id, spec.title, spec.parameters) == ("acme/tiny", "tiny", PARAMETERS)
    assert spec.gated is None


def test_resolve_reads_the_shapes_of_an_unfinished_download(snapshot: Path) -> None:
    write_model(snapshot)
    (snapshot / "model.safetensors").rename(snapshot / "model-00002-of-00003.safetensors")
    spec = resolve("acme/tiny")
    assert (spec.parameters, spec.nf4_linear_params) == (None, LINEAR)


def test_resolve_refuses_a_cached_gptq_download(snapshot: Path) -> None:
    write_model(snapshot, quantization_config={"quant_method": "gptq"})
    with pytest.raises(UserError, match="GPTQ"):
        resolve("acme/tiny")


def test_resolve_knows_only_the_name_of_what_is_not_downloaded(snapshot: Path) -> None:
    assert resolve("acme/tiny") == UNKNOWN
    assert resolve("acme/other") == ModelSpec(id="acme/other", title="other")
    write_model(snapshot.parent / "0ld")
    assert resolve("acme/tiny") == UNKNOWN


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("tinylama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
    ],
)
def test_resolve_suggests_the_nearest_names(text: str, near: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(text)
    assert near in caught.value.mend
    assert text in caught.value.what


@pytest.mark.parametrize(
    "text", ["", "   ", "????", "https://huggingface.co/a/b", "a model, please", "x" * 5000, "a\0b"]
)
def test_resolve_explains_what_it_takes(text: str) -> None:
    with pytest.raises(UserError, match="hub id"):
        resolve(text)
