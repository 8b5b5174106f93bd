"""What MLX cannot train of a model is told before a byte of its weights is read."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from kto_tui.catalog import ModelSpec, load_catalog, read_local
from kto_tui.catalog.mlx import (
    NOT_TRAINED,
    TEXT_MODELS,
    adapter_refusal,
    folder_refusal,
    gguf_refusal,
    hf_refusal,
    mlx_architectures,
    mlx_refusal,
)
from kto_tui.errors import UserError
from tests.catalog.folders import CONFIG, write_model

MLX_4BIT = {"group_size": 64, "bits": 4}


def test_the_shipped_architectures_are_those_of_mlx_lm() -> None:
    """Found without importing a model: a module of mlx_lm.models with both classes, and the names sent on to one."""
    models = pytest.importorskip("mlx_lm.models")
    from mlx_lm.utils import MODEL_REMAPPING

    texts = {file.stem: file.read_text(encoding="utf-8") for file in Path(models.__path__[0]).glob("*.py")}
    own = {name for name, text in texts.items() if "\nclass Model(" in text and "\nclass ModelArgs" in text}
    sent = {name for name, target in MODEL_REMAPPING.items() if target in mlx_architectures()}
    assert own | sent <= mlx_architectures()
    # The rest take one of the two classes from another module.
    assert all("Model" in texts[name] and "ModelArgs" in texts[name] for name in mlx_architectures() - own - sent)


def test_names_of_architectures_are_mlx_lms() -> None:
    assert {*NOT_TRAINED, *TEXT_MODELS.values()} <= mlx_architectures()
    assert not TEXT_MODELS.keys() & mlx_architectures()


def test_every_model_of_the_catalog_trains_with_mlx() -> None:
    assert [model.id for model in load_catalog() if mlx_refusal(model) is not None] == []


def spec(**facts: object) -> ModelSpec:
    return ModelSpec(**{"id": "org/model", "title": "model", "model_type": "llama", "parameters": 10, **facts})


NARROW = spec(hidden_size=48, intermediate_size=104, heads=4, head_dim=12)
REFUSED = {
    "architecture": (spec(model_type="bloom"), "none", "mlx-lm has no architecture bloom"),
    "no gradient": (spec(model_type="rwkv7"), "none", "no architecture rwkv7 that can be trained"),
    "a text model alone": (spec(model_type="gemma3n_text"), "none", "no architecture gemma3n_text that"),
    "bitsandbytes": (spec(quantised="bitsandbytes"), "none", "quantised by bitsandbytes, which MLX cannot read"),
    "fp8": (spec(quantised="fp8"), "none", "quantised (fp8)"),
    "compressed": (spec(quantised="compressed-tensors"), "none", "quantised (compressed-tensors)"),
    "twice": (spec(quantised="mlx"), "int4", "quantised already (mlx)"),
    "widths": (
        NARROW,
        "int4",
        "int4 would quantise nothing of this model: no layer's inputs are a multiple of 64 (48, 104)",
    ),
    "pickles": (spec(id="/models/old", parameters=None), "none", "reads safetensors files"),
}


@pytest.mark.parametrize(("model", "quantization", "what"), REFUSED.values(), ids=REFUSED)
def test_what_mlx_refuses(model: ModelSpec, quantization: str, what: str) -> None:
    found = mlx_refusal(model, quantization)
    assert found is not None
    assert what in found.what
    assert found.mend


@pytest.mark.parametrize(
    ("model", "quantization"),
    [
        (spec(), "none"),
        (spec(), "int4"),
        (spec(model_type=None, parameters=None), "int8"),
        (NARROW, "none"),
        (replace(NARROW, intermediate_size=128), "int4"),
        (replace(NARROW, model_type="qwen3_moe"), "int4"),
        (spec(model_type="qwen3_5_text"), "none"),
        (spec(model_type="gemma4_unified_text"), "none"),
        (spec(model_type="mistral"), "none"),
        (spec(quantised="mlx", parameters=None), "none"),
        (spec(model_type="gpt_oss", quantised="mxfp4", parameters=None), "none"),
    ],
)
def test_what_mlx_takes_or_nothing_is_known_of(model: ModelSpec, quantization: str) -> None:
    assert mlx_refusal(model, quantization) is None


@pytest.mark.parametrize("twice", [False, True])
def test_a_checkpoint_quantised_by_mlx_is_for_mlx_alone(tmp_path: Path, twice: bool) -> None:
    """mlx_lm.convert writes ``quantization``, and the same once more as ``quantization_config``."""
    more = {"quantization_config": MLX_4BIT} if twice else {}
    found = read_local(write_model(tmp_path / "m", dtype="U32", quantization=MLX_4BIT, **more))
    assert found.quantised == "mlx"
    assert mlx_refusal(found) is None
    refusal = hf_refusal(found)
    assert refusal is not None
    assert "quantised by MLX, which Transformers cannot read" in refusal.what


def test_a_bitsandbytes_folder(tmp_path: Path) -> None:
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    found = read_local(write_model(tmp_path / "m", dtype="U8", quantization_config=config))
    refusal = mlx_refusal(found)
    assert refusal is not None
    assert "bitsandbytes" in refusal.what
    assert hf_refusal(found) is None


def test_a_gguf_file_or_folder(tmp_path: Path) -> None:
    file = tmp_path / "model.Q4_K_M.gguf"
    file.write_bytes(b"GGUF")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for place in (file, tmp_path):
        with pytest.raises(UserError, match="GGUF checkpoints cannot be trained"):
            read_local(place)
        refusal = folder_refusal(place)
        assert refusal is not None
        assert "GGUF" in refusal.what


def test_a_folder_must_hold_what_mlx_lm_loads(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    assert folder_refusal(folder) is None
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    refusal = folder_refusal(folder)
    assert refusal is not None
    assert "model*.safetensors" in refusal.what


@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], ["model.lm_head"], ["embed_out"]])
def test_no_adapter_on_the_output_head(targets: list[str]) -> None:
    refusal = adapter_refusal(targets)
    assert refusal is not None
    assert "lm_head" in refusal.what
    assert adapter_refusal(["q_proj", "self_attn.v_proj"]) is None


def test_a_quantised_base_is_not_fused_to_gguf() -> None:
    refusal = gguf_refusal(quantised=True)
    assert refusal is not None
    assert "GGUF" in refusal.what
    assert gguf_refusal(quantised=False) is None
