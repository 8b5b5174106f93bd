"""What a person types: folders, catalog ids, hub ids, and names that only come close.

The cached downloads follow huggingface_hub's cache layout: refs/main names a folder below snapshots.
"""

from pathlib import Path

import pytest

from kto_tui.catalog import ModelSpec, find, load_catalog, resolve
from kto_tui.catalog.names import nearest
from kto_tui.errors import UserError
from tests.catalog.folders import LINEAR, PARAMETERS, write_model


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


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/Qwen/Qwen3-4B",
        "https://huggingface.co/Qwen/Qwen3-4B/",
        " https://huggingface.co/Qwen/Qwen3-4B/tree/main\n",
        "https://huggingface.co/Qwen/Qwen3-4B/blob/main/config.json",
        "http://www.huggingface.co/qwen/qwen3-4b?library=transformers#usage",
        "huggingface.co/Qwen/Qwen3-4B",
        "hf.co/Qwen/Qwen3-4B",
    ],
)
def test_resolve_takes_the_address_of_a_model_page(text: str) -> None:
    assert resolve(text) is find("Qwen/Qwen3-4B")


@pytest.mark.parametrize("rest", ["/tree/v1.0", "/discussions", "/resolve/v1.0/x"])
def test_resolve_takes_no_other_page_for_the_model(rest: str) -> None:
    """Another revision is another model."""
    with pytest.raises(UserError, match="hub id"):
        resolve(f"https://huggingface.co/Qwen/Qwen3-4B{rest}")


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
        ("qwen 7b", "Qwen/Qwen2.5-7B-Instruct"),
        ("QWEN3-8B", "Qwen/Qwen3-8B"),
        ("llama3 8b instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("llama 70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("gemma 3 4b", "google/gemma-3-4b-it"),
        ("mixtrl", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("gpt-oss", "openai/gpt-oss-20b"),
        ("phi4 mini", "microsoft/Phi-4-mini-instruct"),
    ],
)
def test_resolve_suggests_the_nearest_names(text: str, near: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(text)
    assert near in caught.value.mend
    assert text in caught.value.what


@pytest.mark.parametrize(
    ("text", "first"),
    [("qwen 7b", "Qwen/Qwen2.5-7B-Instruct"), ("llama3 8b instruct", "meta-llama/Llama-3.1-8B-Instruct")],
)
def test_the_size_counts_first(text: str, first: str) -> None:
    assert nearest(text)[0] == first


@pytest.mark.parametrize("spec", load_catalog(), ids=lambda spec: spec.id)
def test_every_model_is_found_by_its_own_name(spec: ModelSpec) -> None:
    assert resolve(spec.id.upper()) == spec
    assert spec.id in nearest(spec.id.split("/")[1].replace("-", " "))
    assert spec.id in nearest(spec.title)


def test_what_sounds_like_nothing_suggests_nothing() -> None:
    for text in ("", "????", "hello world", "x" * 5000):
        assert nearest(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "????",
        "https://huggingface.co/datasets/a/b",
        "https://huggingface.co/datasets/a",
        "a model, please",
        "x" * 5000,
        "a\0b",
    ],
)
def test_resolve_explains_what_it_takes(text: str) -> None:
    with pytest.raises(UserError, match="hub id"):
        resolve(text)
