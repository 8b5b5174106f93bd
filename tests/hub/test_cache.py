"""What is said about the hub's cache, and that it is looked for where the library keeps it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kto_tui import paths
from kto_tui.hub.cache import CachedModel, cached, cached_models, folder_of, is_complete
from kto_tui.hub.download import must_fetch
from kto_tui.hub.settings import token_known
from kto_tui.starter import MODEL_ID

ASK_THE_LIBRARY = """
import importlib, json, os, sys
from huggingface_hub import constants
for env in json.loads(sys.argv[1]):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    os.environ.update(env)
    importlib.reload(constants)
    print(constants.HF_HUB_CACHE, constants.HF_TOKEN_PATH)
"""
SETTINGS = [
    {},
    {"HF_HOME": "/data/hf"},
    {"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "/xdg"},
    {"HF_HUB_CACHE": "$HOME/hub", "HF_HOME": "/data/hf"},
    {"HUGGINGFACE_HUB_CACHE": "/old"},
    {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"},
]


def test_the_cache_is_where_the_library_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_LIBRARY, json.dumps(SETTINGS)], capture_output=True, text=True, check=True
    )
    for settings, line in zip(SETTINGS, asked.stdout.splitlines(), strict=True):
        with monkeypatch.context() as env:
            for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
                env.delenv(name, raising=False)
            for name, value in settings.items():
                env.setenv(name, value)
            assert f"{paths.hub_cache()} {paths.hub_home() / 'token'}" == line, settings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "hub"


def put(model_id: str, commit: str, files: dict[str, bytes], ref: str | None = "main") -> Path:
    """Files in the cache, as the library lays them out."""
    folder = folder_of(model_id)
    snapshot = folder / "snapshots" / commit
    for part in (snapshot, folder / "blobs", folder / "refs"):
        part.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        blob = folder / "blobs" / f"{abs(hash(content)):x}"
        blob.write_bytes(content)
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    if ref is not None:
        (folder / "refs" / ref).write_text(commit)
    return snapshot


def found(model_id: str) -> CachedModel:
    model = cached(model_id)
    assert model is not None
    return model


SMALL = {"config.json": b"{}", "tokenizer.json": b"[]"}


def test_a_blob_that_two_revisions_share_counts_once(cache: Path) -> None:
    put("acme/two", "aaa", SMALL | {"model.safetensors": b"w" * 1000}, ref=None)
    put("acme/two", "bbb", {"model.safetensors": b"w" * 1000, "config.json": b"{ }", "vocab.json": b"!"})
    model = found("acme/two")
    assert model.size_bytes == 1000 + 2 + 2 + 3 + 1
    assert [(one.commit, one.refs, one.complete) for one in model.revisions] == [
        ("aaa", (), True),
        ("bbb", ("main",), True),
    ]
    assert model.main == model.revisions[1]
    assert model.last_used == pytest.approx(max(p.stat().st_atime for p in (Path(model.path) / "blobs").iterdir()))
    assert cached_models() == [model]


INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
INCOMPLETE = {
    "no weights": SMALL,
    "no tokenizer": {"config.json": b"{}", "model.safetensors": b"w"},
    "a shard is missing": SMALL
    | {"model-00001-of-00002.safetensors": b"w", "model.safetensors.index.json": INDEX.encode()},
    "no index": SMALL | {"model-00001-of-00001.safetensors": b"w"},
    "torn index": SMALL | {"model-00001-of-00001.safetensors": b"w", "model.safetensors.index.json": b"{"},
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_what_lacks_something_is_incomplete(name: str, cache: Path) -> None:
    put("acme/part", "aaa", INCOMPLETE[name])
    assert not found("acme/part").complete
    assert must_fetch("acme/part")


def test_whole_shards_are_complete_and_a_lost_blob_is_not(cache: Path) -> None:
    files = {name: name.encode() for name in json.loads(INDEX)["weight_map"].values()}
    snapshot = put("acme/shards", "aaa", SMALL | files | {"model.safetensors.index.json": INDEX.encode()})
    assert found("acme/shards").complete
    assert not must_fetch("acme/shards")
    (snapshot / "model-00002-of-00002.safetensors").resolve().unlink()
    assert not is_complete(snapshot)


def test_a_revision_without_the_ref_main_is_not_what_training_takes(cache: Path) -> None:
    put("acme/pinned", "aaa", SMALL | {"model.safetensors": b"w"}, ref=None)
    assert found("acme/pinned").main is None
    assert must_fetch("acme/pinned")


def test_an_empty_or_absent_cache_is_no_error(cache: Path) -> None:
    assert cached_models() == []
    assert cached("acme/none") is None
    folder_of("acme/none").mkdir(parents=True)
    assert cached_models() == []


@pytest.mark.parametrize("model_id", [MODEL_ID, "/a/folder", "./a", ""])
def test_only_names_of_the_hub_are_fetched(model_id: str, cache: Path) -> None:
    assert not must_fetch(model_id)


def test_a_token_is_known_from_the_environment_or_the_login(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not token_known()
    with monkeypatch.context() as env:
        env.setenv("HF_TOKEN", " \n")
        assert not token_known()
        env.setenv("HF_TOKEN", "hf_x")
        assert token_known()
        env.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        assert not token_known()
    (cache.parent / "token").write_text("hf_x\n")
    assert token_known()
    monkeypatch.setenv("HF_TOKEN_PATH", str(cache / "elsewhere"))
    assert not token_known()
