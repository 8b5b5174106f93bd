"""Where mlx-lm computes otherwise than Transformers is read from config.json; tests/backends compare the models."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.catalog import find, load_catalog, read_local
from kto_tui.catalog.mlx import mlx_architectures, mlx_refusal
from kto_tui.catalog.mlx_config import SCALING, SLIDING, WHOLE, by_itself, difference, row_limit
from kto_tui.catalog.model import MlxLimit
from tests.catalog.folders import CONFIG, write_model

LONG = {"type": "longrope", "short_factor": [1.0], "long_factor": [4.0]}
YARN = {"rope_type": "yarn", "factor": 4.0}
LIMITS: dict[str, tuple[dict[str, Any], MlxLimit | None]] = {
    "mistral": ({"model_type": "mistral", "sliding_window": 4096}, MlxLimit(tokens=4096, cause="window")),
    "mistral by default": ({"model_type": "mistral"}, MlxLimit(tokens=4096, cause="window")),
    "mistral without": ({"model_type": "mistral", "sliding_window": None}, None),
    "mixtral": ({"model_type": "mixtral", "sliding_window": 16}, MlxLimit(tokens=16, cause="window")),
    "starcoder2": ({"model_type": "starcoder2", "sliding_window": 16}, MlxLimit(tokens=16, cause="window")),
    "qwen3_moe": (
        {"model_type": "qwen3_moe", "sliding_window": 16, "use_sliding_window": True},
        MlxLimit(tokens=16, cause="window"),
    ),
    "qwen2 switched off": ({"model_type": "qwen2", "sliding_window": 16, "use_sliding_window": False}, None),
    "qwen3 not switched on": ({"model_type": "qwen3", "sliding_window": 16}, None),
    "of unknown make": ({"model_type": "phimoe", "sliding_window": 16}, MlxLimit(tokens=16, cause="window")),
    "olmo3 slides": ({"model_type": "olmo3", "sliding_window": 16}, None),
    "smollm3 told which": (
        {"model_type": "smollm3", "sliding_window": 16, "use_sliding_window": True, "layer_types": ["full_attention"]},
        None,
    ),
    "llama never does": ({"model_type": "llama", "sliding_window": 16}, None),
    "inside": (
        {"model_type": "llava", "text_config": {"model_type": "mistral", "sliding_window": 16}},
        MlxLimit(tokens=16, cause="window"),
    ),
    "longrope": (
        {"model_type": "phi3", "rope_scaling": LONG, "original_max_position_embeddings": 99, "sliding_window": 100},
        MlxLimit(tokens=99, cause="longrope"),
    ),
    "longrope by default": ({"model_type": "phi3", "rope_scaling": LONG}, MlxLimit(tokens=4096, cause="longrope")),
    "longrope of one factor": ({"model_type": "phi3", "rope_scaling": LONG | {"long_factor": [1.0]}}, None),
    "dynamic": (
        {"model_type": "llama", "rope_parameters": {"rope_type": "dynamic"}, "max_position_embeddings": 77},
        MlxLimit(tokens=77, cause="dynamic"),
    ),
}
CONTEXTS = {"max_position_embeddings": 4096, "original_max_position_embeddings": 512}
DIFFERENT: dict[str, tuple[dict[str, Any], str | None]] = {
    "not scaled": ({"model_type": "gemma", "rope_scaling": {"type": "linear", "factor": 2.0}}, "gemma does not scale"),
    "of experts": ({"model_type": "qwen3_moe", "rope_parameters": YARN}, "qwen3_moe does not scale"),
    "scaled": ({"model_type": "qwen3", "rope_parameters": YARN | {"attention_factor": 0.7}}, None),
    "not stretched": (
        {"model_type": "llama", "rope_scaling": {"rope_type": "yarn", "factor": 1.0, "attention_factor": 0.7}},
        "attention_factor of YaRN",
    ),
    "longrope": ({"model_type": "phi3", "rope_scaling": LONG, **CONTEXTS}, None),
    "its factor": ({"model_type": "phi3", "rope_scaling": LONG | {"factor": 8.0}, **CONTEXTS}, None),
    "another factor": ({"model_type": "phi3", "rope_scaling": LONG | {"factor": 9.0}, **CONTEXTS}, "longrope's factor"),
    "attention": ({"model_type": "phi3", "rope_scaling": LONG | {"attention_factor": 1.7}, **CONTEXTS}, "longrope's"),
    "twice": (
        {"model_type": "llama", "rope_scaling": YARN, "rope_parameters": {"rope_type": "default"}},
        "two different",
    ),
    "twice the same": ({"model_type": "llama", "rope_scaling": YARN | {"type": "yarn"}, "rope_parameters": YARN}, None),
    "twice, but for the base": (
        {
            "model_type": "llama",
            "rope_theta": 5.0,
            "rope_scaling": YARN,
            "rope_parameters": YARN | {"rope_theta": 6.0},
        },
        "two different",
    ),
    "proportional": ({"model_type": "llama", "rope_parameters": {"rope_type": "proportional"}}, "does not scale"),
    "activation": ({"model_type": "llama", "hidden_act": "gelu"}, "activation gelu"),
    "its other name": ({"model_type": "llama", "hidden_act": "swish"}, None),
    "no cap": ({"model_type": "gemma2", "attn_logit_softcapping": None}, "cannot leave out attn_logit_softcapping"),
    "a cap": ({"model_type": "gemma3_text", "final_logit_softcapping": 30.0}, "ignores final_logit_softcapping"),
    "both ways": ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention"),
    "odd layers": (
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "layer_types": ["full_attention", "x"]}},
        "every n-th layer",
    ),
    "swiglu": ({"model_type": "gpt_oss", "swiglu_limit": 5.0}, "swiglu_limit as 7"),
}


@pytest.mark.parametrize(("config", "limit"), LIMITS.values(), ids=LIMITS)
def test_the_longest_rows(config: dict[str, Any], limit: MlxLimit | None) -> None:
    assert row_limit(config) == limit


@pytest.mark.parametrize(("config", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_another_model(config: dict[str, Any], words: str | None) -> None:
    found = difference(config)
    assert words is None if found is None else words is not None and words in found


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "phi3", "rope_scaling": LONG}, "more than 4096 tokens"),
        ({"model_type": "phi3", "rope_scaling": LONG | {"long_factor": [1.0]}}, None),
        ({"model_type": "llama", "rope_parameters": YARN}, None),
        ({"model_type": "llama", "rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3}}, None),
        ({"model_type": "llama", "rope_parameters": YARN | {"mscale": 0.7}}, "YaRN"),
        ({"model_type": "gpt_oss", "rope_scaling": YARN | {"truncate": False}}, "YaRN"),
        ({"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]}, "every sixth layer"),
        ({"model_type": "gemma3_text"}, None),
    ],
)
def test_what_mlx_lm_computes_otherwise_by_itself(config: dict[str, Any], words: str | None) -> None:
    found = by_itself(config)
    assert words is None if found is None else words is not None and words in found


def test_a_folder_is_refused_by_its_configuration_alone(tmp_path: Path) -> None:
    """As soon as config.json is here, which a download fetches first."""
    folder = write_model(tmp_path)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "mixtral", "sliding_window": 16}))
    model = read_local(folder)
    assert mlx_refusal(model) is None  # not known how long the rows are
    assert mlx_refusal(model, max_length=16) is None
    refusal = mlx_refusal(model, max_length=17)
    assert refusal is not None
    assert "look back 16 tokens" in refusal.what
    assert "max_length to 16" in refusal.mend
    (folder / "config.json").write_text(json.dumps(CONFIG | {"hidden_act": "relu"}))
    refusal = mlx_refusal(read_local(folder))
    assert refusal is not None
    assert "activation relu" in refusal.what


def test_limits_of_the_catalog() -> None:
    limits = {model.id: model.mlx_limit for model in load_catalog() if model.mlx_limit is not None}
    assert {name: limit.cause for name, limit in limits.items()} == {
        "google/gemma-2-2b-it": "window",
        "google/gemma-2-9b-it": "window",
        "google/gemma-2-27b-it": "window",
        "microsoft/Phi-3.5-mini-instruct": "longrope",
        "microsoft/Phi-4-mini-instruct": "longrope",
    }
    assert {limit.tokens for limit in limits.values()} == {4096}
    phi = find("microsoft/Phi-3.5-mini-instruct")
    assert phi is not None
    assert mlx_refusal(phi, max_length=4096) is None
    assert mlx_refusal(phi, max_length=4097) is not None


def test_the_named_architectures_are_those_of_mlx_lm() -> None:
    """A module that slides a window has the word in it, or imports one that has; of the others none has."""
    models = pytest.importorskip("mlx_lm.models")
    texts = {file.stem: file.read_text(encoding="utf-8") for file in Path(models.__path__[0]).glob("*.py")}
    sliding = {name for name, text in texts.items() if "window" in text} - {"base", "cache", "llama"}
    assert {name.removesuffix("_text") for name in sliding} | {"gemma3", "gemma4", "gemma4_unified"} == SLIDING
    scaling = {name for name, text in texts.items() if "initialize_rope(" in text} - {"rope_utils"}
    assert {name.removesuffix("_text") for name in scaling} <= SCALING
    assert {name.removesuffix("_text") for name in mlx_architectures()} >= SLIDING | SCALING | WHOLE


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3) | st.sampled_from(["yarn"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rope_type", "factor", "full_attention", "sliding_attention", "attention_factor"]), inner
        )
    ),
    max_leaves=6,
)
kinds = st.sampled_from(["phi3", "gemma3_text", "mistral", "llama", "gpt_oss", None, 3])
names = st.sampled_from(
    "rope_parameters rope_scaling text_config sliding_window layer_types max_position_embeddings swiglu_limit "
    "original_max_position_embeddings hidden_act sliding_window_pattern".split()
)


@given(kinds, st.dictionaries(names, values))
def test_whatever_somebody_wrote_raises_nothing(kind: object, config: dict[str, Any]) -> None:
    limit = row_limit(config | {"model_type": kind})
    assert limit is None or limit.tokens > 0
    difference(config | {"model_type": kind})
