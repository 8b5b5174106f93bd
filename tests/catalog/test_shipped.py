"""The shipped catalog: what it promises of every model, and how a mistake in the file is told."""

import time
from pathlib import Path

import pytest

from kto_tui import paths
from kto_tui.catalog import ModelSpec, find, load_catalog, shipped
from kto_tui.catalog.model import LLAMA_LIKE, SUPPORTED
from kto_tui.errors import UserError

UNVERIFIED = {
    *(f"Qwen/Qwen3.5-{size}" for size in ("0.8B", "2B", "4B", "9B", "27B", "35B-A3B")),
    *(f"google/gemma-3-{size}-it" for size in ("12b", "27b")),
    *(f"google/gemma-4-{size}-it" for size in ("E2B", "E4B", "12B", "26B-A4B", "31B")),
}
MIXTURES = {"gpt_oss", "mixtral", "qwen3_moe", "qwen3_5_moe_text"}


def test_the_catalog_is_a_sorted_list_of_different_models() -> None:
    models = load_catalog()
    sizes = [spec.parameters for spec in models if spec.parameters is not None]
    assert len(sizes) == len(models) >= 55
    assert sizes == sorted(sizes)
    assert len({spec.id for spec in models}) == len({spec.title for spec in models}) == len(models)
    assert models[0].id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert sizes[-1] > 70e9
    assert all(spec.quantised is None and spec.context and spec.use and spec.licence for spec in models)
    assert {spec.model_type for spec in models} == SUPPORTED
    assert all(spec.supported for spec in models)


def test_no_unconfirmed_count_is_claimed() -> None:
    assert {spec.id for spec in load_catalog() if not spec.verified} == UNVERIFIED
    for spec in load_catalog():
        assert ("count unverified" in spec.note) is (spec.verified is False)


def test_four_bit_copies_are_copies_of_this_model() -> None:
    for spec in load_catalog():
        for copy in filter(None, (spec.unsloth_4bit, spec.mlx_4bit)):
            words = spec.id.split("/")[1].lower().removesuffix("-hf").removesuffix("-v1.0").removesuffix("-1.1b-chat")
            assert words in copy.lower(), "another size, or a base model"
    entries = {spec.id: spec for spec in load_catalog()}
    assert entries["meta-llama/Llama-2-13b-chat-hf"].unsloth_4bit is None, "there is one of the base model only"
    assert entries["Qwen/Qwen3-32B"].mlx_4bit is None, "nobody has seen one"


def test_what_does_not_fit_in_four_bits_is_said() -> None:
    for spec in load_catalog():
        mixture = spec.model_type in MIXTURES or bool(spec.config.get("enable_moe_block"))
        assert mixture is ("bitsandbytes leaves the experts in 16 bits" in spec.note)
        assert not mixture or (spec.non_quantised_params or 0) > (spec.nf4_linear_params or 0)


@pytest.mark.parametrize("spec", [s for s in load_catalog() if s.model_type in LLAMA_LIKE], ids=lambda spec: spec.id)
def test_linear_weights_follow_from_the_shapes(spec: ModelSpec) -> None:
    assert None not in (spec.hidden_size, spec.layers, spec.heads, spec.kv_heads, spec.head_dim, spec.intermediate_size)
    query_output, key_value = (
        2 * spec.hidden_size * spec.heads * spec.head_dim,
        2 * spec.hidden_size * spec.kv_heads * spec.head_dim,
    )
    assert spec.nf4_linear_params == spec.layers * (
        query_output + key_value + 3 * spec.hidden_size * spec.intermediate_size
    )


def test_find() -> None:
    spec = find("Qwen/Qwen2.5-7B-Instruct")
    assert spec is not None
    assert (spec.parameters, spec.tied_embeddings, spec.licence) == (7_615_616_512, False, "apache-2.0")
    assert (spec.unsloth_4bit, spec.chat_template) == ("unsloth/Qwen2.5-7B-Instruct-unsloth-bnb-4bit", "chatml")
    assert find("Qwen/Qwen2.5-7B") is None


def test_models_can_be_told_apart_and_hashed() -> None:
    assert len(set(load_catalog())) == len(load_catalog())


def test_reading_and_checking_is_quick() -> None:
    times = []
    for _ in range(5):
        shipped._read.cache_clear()
        begin = time.process_time()
        load_catalog()
        times.append(time.process_time() - begin)
    assert min(times) < 0.04, "7 ms on a slow core; generous for shared machines"


LORA = '[lora_targets]\nllama = ["q_proj"]\n'
FIRST = """[[model]]
id = "a/b"
title = "B"
parameters = 1000
verified = true
model_type = "llama"
hidden_size = 4
layers = 1
heads = 2
kv_heads = 1
head_dim = 2
intermediate_size = 1
vocab_size = 10
tied_embeddings = true
context = 1
nf4_linear_params = 700
licence = "mit"
gated = false
use = "general"
"""


def test_a_catalog_needs_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    (tmp_path / "models.toml").write_text(LORA + FIRST)
    (spec,) = load_catalog()
    assert (spec.id, spec.note, spec.config, spec.lora_targets) == ("a/b", "", {}, ("q_proj",))
    assert (spec.unsloth_4bit, spec.chat_template) == (None, None)
    assert spec.non_quantised_params == 300


def test_a_model_may_name_its_own_lora_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    (tmp_path / "models.toml").write_text(FIRST + 'lora_targets = ["c_attn", "c_proj"]\n')
    assert load_catalog()[0].lora_targets == ("c_attn", "c_proj")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FIRST.replace("layers = 1\n", ""), ["a/b", "layers"]),
        (FIRST.replace("verified = true\n", "").replace('use = "general"\n', ""), ["a/b", "use, verified"]),
        (FIRST + "colour = 1\n", ["a/b", "colour"]),
        (FIRST.replace("heads = 2", "heads = 'one'", 1), ["a/b", "heads"]),
        (FIRST.replace("vocab_size = 10", "vocab_size = 0"), ["a/b", "vocab_size"]),
        (FIRST.replace("layers = 1", "layers = true"), ["a/b", "layers"]),
        (FIRST.replace("parameters = 1000", f"parameters = {10**30}"), ["a/b", "parameters"]),
        (FIRST.replace('"general"', '"everything"'), ["a/b", "use"]),
        (FIRST + 'chat_template = "chatlm"\n', ["a/b", "chat_template"]),
        (FIRST + 'mlx_4bit = "somewhere"\n', ["a/b", "mlx_4bit"]),
        (FIRST + 'quantised = "nf4"\n', ["a/b", "quantised"]),
        (FIRST + "config = { sliding_windows = 1 }\n", ["a/b", "config"]),
        (FIRST + "config = { sliding_window = { a = 1 } }\n", ["a/b", "config"]),
        (FIRST.replace("llama", "lama"), ["a/b", "lora_targets"]),
        (FIRST.replace("hidden_size = 4", "hidden_size = 64"), ["a/b", "heads times head_dim"]),
        (FIRST.replace("kv_heads = 1", "kv_heads = 3"), ["a/b", "kv_heads"]),
        (FIRST.replace("parameters = 1000", "parameters = 739"), ["a/b", "parameters"]),
        (FIRST.replace('id = "a/b"\n', ""), ["model 1", "id"]),
        (FIRST + FIRST, ["a/b", "twice"]),
        (FIRST + FIRST.replace("a/b", "a/c").replace("1000", "999"), ["a/c", "Sort"]),
        ("[[model]\n", ["Unreadable"]),
        ("", ["Unreadable"]),
        ("[[modell]]\n", ["modell"]),
        ("model = 1\n", ["array"]),
        ("x = " + "[" * 9999, ["Unreadable"]),
    ],
)
def test_a_bad_catalog_names_file_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: list[str]
) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    (tmp_path / "models.toml").write_text(LORA + text if "[[model]]" in text else text)
    with pytest.raises(UserError) as caught:
        load_catalog()
    sentence = str(caught.value)
    assert all(word in sentence for word in [*said, str(tmp_path / "models.toml")])


def test_a_missing_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "presets", lambda: tmp_path)
    with pytest.raises(UserError, match=r"models\.toml.*reinstall"):
        load_catalog()


@pytest.mark.parametrize(
    ("model_id", "billions"),
    [
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 12.7),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", 3.0),
        ("openai/gpt-oss-20b", 3.6),
        ("Qwen/Qwen3-4B", 4.0),
        ("google/gemma-3-270m-it", 0.27),
    ],
)
def test_parameters_a_token_meets(model_id: str, billions: float) -> None:
    """What the makers call active, without the embedding that is only looked up (model cards, arXiv:2401.04088)."""
    spec = find(model_id)
    assert spec is not None
    assert (spec.active_params or 0) / 1e9 == pytest.approx(billions, rel=0.03)


def test_downloads_are_what_the_hub_holds_and_not_what_is_trained() -> None:
    gemma, oss = find("google/gemma-3-4b-it"), find("openai/gpt-oss-20b")
    assert gemma is not None
    assert oss is not None
    assert gemma.download_bytes == 2 * 4_300_079_472
    assert (oss.download_bytes or 0) < (oss.parameters or 0)
