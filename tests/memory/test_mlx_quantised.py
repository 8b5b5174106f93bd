"""Folders that MLX has quantised: counted by their headers, beside what MLX says of them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kto_tui.catalog import read_local
from kto_tui.hardware.presets import machine
from kto_tui.memory.mlx import weight_bytes_mlx
from kto_tui.planner import propose
from kto_tui.recipe import Recipe

SHAPE = {
    "model_type": "llama", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 300, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "max_position_embeddings": 512, "rope_theta": 10000.0,
}  # fmt: skip
QWEN2, UNTIED = SHAPE | {"model_type": "qwen2"}, SHAPE | {"tie_word_embeddings": False}
# Inputs of down_proj that are no multiple of a group stay as they are.
ODD = SHAPE | {"intermediate_size": 200}
EXPERTS = SHAPE | {
    "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1,
    "moe_intermediate_size": 64, "mlp_only_layers": [], "norm_topk_prob": True,
}  # fmt: skip


def mixed(path: str, _: object) -> bool | dict[str, Any]:
    """More bits for some layers and none for others, as mlx-lm's predicates say it."""
    if path.endswith("down_proj"):
        return {"group_size": 32, "bits": 8}
    return {"group_size": 128, "bits": 6, "mode": "affine"} if "v_proj" in path else not path.endswith("o_proj")


FOLDERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "4 bits, tied": (SHAPE, {"bits": 4}),
    "8 bits, untied": (UNTIED, {"bits": 8}),
    "3 bits, biases": (QWEN2, {"bits": 3, "group_size": 32}),
    "odd dimension": (ODD, {"bits": 4}),
    "mixed bits": (UNTIED, {"bits": 4, "quant_predicate": mixed}),
    "mxfp4": (SHAPE, {"mode": "mxfp4"}),
    "nvfp4": (QWEN2, {"mode": "nvfp4"}),
    "mxfp8": (UNTIED, {"mode": "mxfp8"}),
    "mxfp4 with affine layers": (SHAPE, {"mode": "mxfp4", "quant_predicate": mixed}),
    "experts": (EXPERTS, {"bits": 4}),
    "experts, nvfp4 with a scale for each": (EXPERTS, {"mode": "nvfp4", "global_scale": True}),
}


def write_checkpoint(shape: dict[str, Any], folder: Path) -> Path:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    kind, arguments = _get_classes(shape)
    model = kind(arguments.from_dict(shape))
    model.set_dtype(mx.bfloat16)
    folder.mkdir()
    (folder / "config.json").write_bytes(msgspec.json.encode(shape))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "pt"})
    return folder


def quantise(folder: Path, into: Path, settings: dict[str, Any]) -> Path:
    """As ``mlx_lm.convert`` does it, which takes a tokenizer besides."""
    from mlx_lm.utils import load_model, quantize_model, save_config, save_model

    model, config = load_model(folder)
    model, config = quantize_model(model, config, **({"group_size": None, "bits": None} | settings))
    save_model(into, model)
    save_config(config, into / "config.json")
    return into


def folders(tmp_path: Path, shape: dict[str, Any], settings: dict[str, Any]) -> tuple[Path, Path]:
    original = write_checkpoint(shape, tmp_path / "original")
    return original, quantise(original, tmp_path / "quantised", settings)


def loaded_bytes(folder: Path, precision: str) -> int:
    """Of all arrays of a base model as the backend loads it."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from kto_tui.backends.mlx.device import Device
    from kto_tui.backends.mlx.model import load_base

    device = Device("cpu", {"fp32": mx.float32, "bf16": mx.bfloat16}[precision], precision)
    base = load_base(folder, Recipe(), device, str(folder))
    return sum(each.nbytes for _, each in tree_flatten(base.model.parameters()))


@pytest.mark.parametrize(("shape", "settings"), FOLDERS.values(), ids=FOLDERS)
def test_a_quantised_folder_is_counted_to_the_parameter_and_to_the_byte(
    shape: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    original, quantised = folders(tmp_path, shape, settings)
    spec = read_local(quantised)
    assert spec.quantised == "mlx"
    assert spec.parameters == read_local(original).parameters
    for precision, element in (("fp32", 4), ("bf16", 2)):
        assert weight_bytes_mlx(spec, Recipe(), element=element) == loaded_bytes(quantised, precision)


def test_a_quantised_folder_has_a_verdict(tmp_path: Path) -> None:
    original, quantised = folders(tmp_path, SHAPE, {"bits": 4})
    mac = machine("mac-m4-24gb")
    plan = propose(read_local(quantised), mac, backend="mlx")
    assert (plan.verdict, plan.recipe.quantization) == ("FITS", "none")
    assert plan.predicted is not None
    assert plan.predicted.quality == "fitted"
    assert plan.predicted.parts.weights == loaded_bytes(quantised, "bf16")
    # Its size is known: so is the learning rate that suits it.
    assert plan.recipe.learning_rate == propose(read_local(original), mac, backend="mlx").recipe.learning_rate
    refused = propose(read_local(quantised), mac, backend="hf")
    assert (refused.verdict, refused.would_fit) == ("NO", None)
    assert "Transformers cannot read" in refused.verdict_because
