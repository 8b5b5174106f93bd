"""Checkpoints that MLX has quantised, counted by constructed headers and settings."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import read_local, resolve
from kto_tui.catalog.model import Packed
from kto_tui.catalog.packed import Settings, count_packed, settings_of
from kto_tui.catalog.tensors import Tensor
from tests.catalog.folders import layer, write_packed

AFFINE = {"group_size": 64, "bits": 4, "mode": "affine"}
MODES = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}


SETTINGS = st.one_of(
    st.builds(
        lambda size, bits: {"group_size": size, "bits": bits},
        st.sampled_from([32, 64, 128]),
        st.sampled_from([1, 2, 3, 4, 5, 6, 8]),
    ),
    st.sampled_from([{"group_size": size, "bits": bits, "mode": mode} for mode, (size, bits) in MODES.items()]),
)


@given(
    st.lists(st.tuples(SETTINGS, st.lists(st.integers(1, 9), min_size=1, max_size=2), st.integers(1, 9)), min_size=1)
)
def test_any_mixture_of_layers_is_counted(layers: list[tuple[dict[str, Any], list[int], int]]) -> None:
    tensors: dict[str, Tensor] = {"norm.weight": Tensor("F32", [7])}
    parameters, packed_bytes, floats, own = 7, 0, 7, {}
    for number, (settings, outer, groups) in enumerate(layers):
        rows = outer[0] * (outer[1] if outer[1:] else 1)
        values, block = rows * groups * settings["group_size"], "mode" in settings
        parameters += values
        packed_bytes += values * settings["bits"] // 8 + (rows * groups if block else 0)
        floats += 0 if block else 2 * rows * groups
        tensors |= layer(f"layers.{number}", outer, groups, settings)
        own[f"layers.{number}"] = settings
    assert count_packed(tensors, AFFINE | own) == (parameters, Packed(packed_bytes, floats))


def test_a_layers_own_settings_take_nothing_from_those_of_all() -> None:
    """As in gpt-oss's checkpoints: experts in mxfp4, attention affine, whose settings name no mode."""
    table = {"group_size": 32, "bits": 4, "mode": "mxfp4", "q": {"group_size": 64, "bits": 8}, "k": {"mode": "nvfp4"}}
    assert settings_of("q", table) == Settings(64, 8, "affine")
    assert settings_of("k", table) == Settings(16, 4, "nvfp4")
    assert settings_of("experts", table) == Settings(32, 4, "mxfp4")
    assert settings_of("experts", {"mode": "mxfp8"}) == Settings(32, 8, "mxfp8")


ONE = layer("m", [8], 2, AFFINE)
BLOCKS = layer("m", [8], 2, {"group_size": 32, "bits": 4, "mode": "mxfp4"})
CONTRADICTIONS: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {
    "bits": (ONE, AFFINE | {"bits": 8}),
    "group size": (ONE, AFFINE | {"group_size": 32}),
    "a mode nobody knows": (ONE, AFFINE | {"mode": "int4"}),
    "floats for one-byte scales": (ONE, AFFINE | {"mode": "mxfp4", "group_size": 32}),
    "nonsense": (ONE, {"group_size": "64", "bits": True}),
    "no bits at all": (ONE, AFFINE | {"m": {"group_size": 64, "bits": 0.5}}),
    "a layer that is said not to be": (ONE, AFFINE | {"m": False}),
    "no biases": ({name: one for name, one in ONE.items() if "biases" not in name}, AFFINE),
    "no scales": ({name: one for name, one in ONE.items() if "scales" not in name}, AFFINE),
    "scales of other rows": (ONE | {"m.scales": Tensor("BF16", [9, 2]), "m.biases": Tensor("BF16", [9, 2])}, AFFINE),
    "words that are no weight": (ONE | {"m.table": Tensor("U32", [4])}, AFFINE),
    "bytes that are no scales": (ONE | {"m.blocks": Tensor("U8", [4])}, AFFINE),
    "a scalar": (ONE | {"m.weight": Tensor("U32", [])}, AFFINE),
    "block scales of another mode": (BLOCKS, AFFINE | {"m": AFFINE}),
    "more than there is": (ONE | {"m.global_scale": Tensor("F32", [10**20, 10**300])}, AFFINE),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "settings"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_its_settings_is_not_counted(tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    assert count_packed(ONE, AFFINE) is not None
    assert count_packed(tensors, settings) is None


def test_block_formats_are_told_by_their_scales_where_no_settings_name_them() -> None:
    """As mlx-lm tells them."""
    for mode, (size, bits) in MODES.items():
        tensors = layer("m", [8], 3, {"group_size": size, "bits": bits, "mode": mode})
        found = count_packed(tensors, AFFINE)
        assert found is not None
        assert found[0] == 8 * 3 * size


# Of write_packed: a norm, embeddings and head, seven projections in each of two layers.
PARAMETERS = 64 + 2 * 10 * 64 + 14 * 64 * 64


def test_a_folder_and_a_cached_download_are_counted_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--mlx-community--tiny-4bit"
    folder = write_packed(repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    for spec in (read_local(folder), resolve("mlx-community/tiny-4bit")):
        assert (spec.quantised, spec.parameters) == ("mlx", PARAMETERS)
        assert spec.packed == Packed((PARAMETERS - 64) // 2, 64 + (PARAMETERS - 64) // 16)
    cached = resolve("mlx-community/tiny-4bit")
    assert cached.download_bytes == (PARAMETERS - 64) // 2 + 2 * (64 + (PARAMETERS - 64) // 16)


def test_a_tied_head_stored_twice_counts_once(tmp_path: Path) -> None:
    assert read_local(write_packed(tmp_path, tie_word_embeddings=True)).parameters == PARAMETERS - 640


UNTOLD = {
    "activations quantised too": {"quantize_activations": True},
    "another model's configuration": {"num_hidden_layers": 4},
    "settings of another model": {"quantization": {"group_size": 64, "bits": 4}},
}


@pytest.mark.parametrize("config", UNTOLD.values(), ids=UNTOLD)
def test_what_cannot_be_told_for_sure_stays_unknown(tmp_path: Path, config: dict[str, Any]) -> None:
    spec = read_local(write_packed(tmp_path, **config))
    assert (spec.quantised, spec.parameters, spec.packed) == ("mlx", None, None)
