"""Every count and name of the catalog, derived again by instantiating its configuration on torch's meta device."""

import inspect
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from kto_tui.catalog import ModelSpec, config_values, find, load_catalog
from kto_tui.errors import UserError


def configuration(spec: ModelSpec) -> Any:
    return AutoConfig.for_model(spec.model_type, **config_values(spec))


def linear_layers(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    head = model.get_output_embeddings()
    return {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head}


@pytest.mark.parametrize("spec", load_catalog(), ids=lambda spec: spec.id)
def test_the_configuration_has_this_many_parameters(spec: ModelSpec) -> None:
    """Of all models: the unverified ones' counts are what their configuration gives, if not what the hub states."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(configuration(spec))
    linear = linear_layers(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.parameters
    assert sum(layer.weight.numel() for layer in linear.values()) == spec.nf4_linear_params
    assert tuple(dict.fromkeys(n.split(".")[-1] for n in linear if ".layers." in n)) == spec.lora_targets


@pytest.mark.parametrize("spec", load_catalog(), ids=lambda spec: spec.id)
def test_the_architecture_reads_what_the_catalog_says(spec: ModelSpec) -> None:
    config = configuration(spec)
    source = inspect.getsource(type(config))
    assert [key for key in spec.config if key not in source] == [], "a key that changes nothing"
    assert {key: getattr(config, key) for key in ("vocab_size", "tie_word_embeddings", "max_position_embeddings")} == {
        "vocab_size": spec.vocab_size,
        "tie_word_embeddings": spec.tied_embeddings,
        "max_position_embeddings": spec.context,
    }


def test_layers_attend_as_published() -> None:
    def layers(model_id: str) -> tuple[Any, list[str]]:
        spec = find(model_id)
        assert spec is not None
        config = configuration(spec)
        return getattr(config, "sliding_window", None), getattr(config, "layer_types", None) or []

    assert layers("mistralai/Mistral-7B-Instruct-v0.3")[0] is None, "the architecture's default is 4096"
    window, kinds = layers("google/gemma-3-1b-it")
    assert (window, kinds[:6]) == (512, ["sliding_attention"] * 5 + ["full_attention"])
    window, kinds = layers("google/gemma-2-2b-it")
    assert (window, kinds[:2]) == (4096, ["sliding_attention", "full_attention"])
    assert layers("google/gemma-4-E2B-it")[1] == (["sliding_attention"] * 4 + ["full_attention"]) * 7
    assert layers("Qwen/Qwen3.5-4B")[1][:4] == ["linear_attention"] * 3 + ["full_attention"]
    attending = [i for i, kind in enumerate(layers("LiquidAI/LFM2.5-1.2B-Instruct")[1]) if kind == "full_attention"]
    assert attending == [2, 5, 8, 10, 12, 14]


def test_gemma_3_4b_with_its_vision_tower_is_what_the_hub_states() -> None:
    """The vision tower is SigLIP so400m at 896 pixels, as the published config has it."""
    spec = find("google/gemma-3-4b-it")
    assert spec is not None
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    vision |= {"image_size": 896, "patch_size": 14, "vision_use_head": False}
    config = AutoConfig.for_model("gemma3", text_config=config_values(spec), vision_config=vision)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == 4_300_079_472
    assert f"{(total - spec.parameters) / 1e9:.2f}B" in spec.note


def test_gemma_4_hub_totals_agree_with_each_other() -> None:
    """The hub's totals less the text models differ by what the projections of the same two towers must differ by.

    The hub also stores key and value weights of the layers that share another layer's, and one scalar per layer.
    """

    def rest(model_id: str, hub_total: int) -> tuple[int, ModelSpec]:
        spec = find(model_id)
        assert spec is not None
        config = configuration(spec)
        shared = config.layer_types[-config.num_kv_shared_layers :]
        sizes = {"sliding_attention": spec.head_dim, "full_attention": 512}
        unused = sum(2 * spec.hidden_size * spec.kv_heads * sizes[kind] + sizes[kind] for kind in shared)
        return hub_total - spec.parameters - unused - spec.layers, spec

    (large, e4b), (small, e2b) = (
        rest("google/gemma-4-E4B-it", 7_996_156_490),
        rest("google/gemma-4-E2B-it", 5_123_178_051),
    )
    assert large - small == (e4b.hidden_size - e2b.hidden_size) * (768 + 1536)


def test_what_is_not_known_cannot_be_configured() -> None:
    with pytest.raises(UserError, match="hidden_size"):
        config_values(ModelSpec(id="a/b", title="b", model_type="llama"))
    with pytest.raises(UserError, match="model_type"):
        config_values(ModelSpec(id="a/b", title="b"))
