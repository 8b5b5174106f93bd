"""Rotary settings that Transformers 5 nests reach mlx-lm, which reads them elsewhere and falls back in silence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx_lm.utils
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from kto_tui.backends.mlx.model import load_base
from kto_tui.backends.mlx.rope import normalised
from tests.backends.mlx.models import changed, gap, mlx_logits, torch_logits, transformers_model
from tests.backends.mlx.trainings import FP32, RECIPE

Checkpoint = Callable[..., Path]
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("nested", "top"),
    [
        ({"rope_type": "default"}, {"rope_scaling": None}),
        (LLAMA3, {"rope_scaling": {**LLAMA3, "type": "llama3"}}),
        (YARN, {"rope_scaling": {**YARN, "type": "yarn"}}),
        ({"type": "linear", "factor": 2.0}, {"rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2.0}}),
        ({"partial_rotary_factor": 0.5}, {"partial_rotary_factor": 0.5, "rope_scaling": None}),
    ],
)
def test_nested_settings_are_at_the_top_too(nested: dict[str, Any], top: dict[str, Any]) -> None:
    rope = {"rope_theta": 5e5, **nested}
    found = normalised({"model_type": "llama", "rope_theta": 1.0, "rope_parameters": rope})
    assert found == {"model_type": "llama", "rope_parameters": rope, "rope_theta": 5e5, **top}


def test_gemma_3_has_two_kinds_of_layers() -> None:
    rope = {
        "full_attention": {"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
    }
    inner = {"model_type": "gemma3_text", "rope_parameters": rope}
    found = normalised({"model_type": "gemma3", "text_config": inner})["text_config"]
    assert (found["rope_theta"], found["rope_local_base_freq"]) == (1e6, 1e4)
    assert found["rope_scaling"] == {"rope_type": "linear", "type": "linear", "factor": 8.0}


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(["rope_theta", "rope_type", "full_attention", "factor", "text_config"]), inner, max_size=4
    ),
    max_leaves=8,
)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["rope_parameters", "text_config", "rope_theta", "rope_scaling"]), values))
def test_nothing_is_lost_and_twice_is_once(config: dict[str, Any]) -> None:
    before = json.dumps(config)
    found = normalised(config)
    assert json.dumps(config) == before
    assert found.get("rope_parameters") == config.get("rope_parameters")
    assert normalised(found) == found


def test_settings_at_the_top_alone_stay_as_they_are() -> None:
    legacy = {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": LLAMA3, "text_config": None}
    assert normalised(legacy) == legacy


@pytest.mark.parametrize(
    "rope",
    [{"rope_type": "default"}, LLAMA3, YARN, {"rope_type": "linear", "factor": 2.0}],
    ids=lambda r: r["rope_type"],
)
def test_mlx_says_what_transformers_says(checkpoint: Checkpoint, tmp_path: Path, rope: dict[str, Any]) -> None:
    folder = changed(checkpoint("llama"), tmp_path / "model", rope_parameters={"rope_theta": 123456.0, **rope})
    expected = torch_logits(transformers_model(folder))
    assert gap(mlx_logits(load_base(folder, RECIPE, FP32, "llama").model), expected) < 1e-4
    # As mlx-lm reads the folder by itself: the reason why configurations are normalised.
    assert gap(mlx_logits(mlx_lm.utils.load_model(folder)[0]), expected) > 0.05


def test_the_rotated_part_of_a_head_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    rope = {"rope_theta": 500.0, "rope_type": "default", "partial_rotary_factor": 0.5}
    folder = changed(checkpoint("phi3"), tmp_path / "model", "partial_rotary_factor", rope_parameters=rope)
    expected = torch_logits(transformers_model(folder))
    assert gap(mlx_logits(load_base(folder, RECIPE, FP32, "phi3").model), expected) < 1e-4
    assert gap(mlx_logits(mlx_lm.utils.load_model(folder)[0]), expected) > 0.05


def test_settings_at_the_top_are_read_by_both(checkpoint: Checkpoint, tmp_path: Path) -> None:
    legacy = {"rope_theta": 123456.0, "rope_scaling": LLAMA3}
    folder = changed(checkpoint("llama"), tmp_path / "model", "rope_parameters", **legacy)
    expected = torch_logits(transformers_model(folder))
    assert gap(mlx_logits(load_base(folder, RECIPE, FP32, "llama").model), expected) < 1e-4


def test_gemma_3_says_what_transformers_says(checkpoint: Checkpoint, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rope = {
        "full_attention": {"rope_theta": 123456.0, "rope_type": "linear", "factor": 4.0},
        "sliding_attention": {"rope_theta": 500.0, "rope_type": "default"},
    }
    config = AutoConfig.for_model(
        "gemma3_text", vocab_size=337, hidden_size=32, intermediate_size=64, num_hidden_layers=6, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16, sliding_window=64, rope_parameters=rope,
        max_position_embeddings=256,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "model")
    base = load_base(tmp_path / "model", RECIPE, FP32, "gemma")
    assert "has not been compared" in base.notes[0]
    assert gap(mlx_logits(base.model), torch_logits(model)) < 1e-4
    assert gap(mlx_logits(mlx_lm.utils.load_model(tmp_path / "model")[0]), torch_logits(model)) > 1e-2
