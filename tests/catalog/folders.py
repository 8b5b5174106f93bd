"""Constructed checkpoint folders.

They follow the safetensors format description (8 bytes of little-endian header length, then a JSON header) and the
config.json keys of transformers' LlamaConfig.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kto_tui.catalog import read_local
from kto_tui.catalog.tensors import Tensor
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


def layer(name: str, outer: list[int], groups: int, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Of ``outer`` rows of so many groups each, as mlx.core.quantize lays them out."""
    words, rest = groups * settings["group_size"] * settings["bits"] // 32, [*outer, groups]
    affine = settings.get("mode", "affine") == "affine"
    found = {"weight": Tensor("U32", [*outer, words]), "scales": Tensor("BF16" if affine else "U8", rest)}
    return {f"{name}.{key}": one for key, one in (found | ({"biases": Tensor("BF16", rest)} if affine else {})).items()}


def write_packed(folder: Path, **config: object) -> Path:
    """A Llama of two layers, 64 wide, whose linear layers and embeddings MLX has quantised to 4 bits."""
    hidden, groups, settings = 64, 2, {"group_size": 32, "bits": 4}
    shapes = CONFIG | {"hidden_size": hidden, "intermediate_size": hidden, "num_key_value_heads": 4}
    names = ["model.embed_tokens", "lm_head"]
    names += [f"model.layers.{n}.self_attn.{one}_proj" for n in range(2) for one in "qkvo"]
    names += [f"model.layers.{n}.mlp.{one}_proj" for n in range(2) for one in ("gate", "up", "down")]
    tensors = {"model.norm.weight": Tensor("BF16", [hidden])}
    for name in names:
        tensors |= layer(name, [hidden if "layers" in name else shapes["vocab_size"]], groups, settings)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(shapes | {"quantization": settings} | config))
    header = {n: {"dtype": t.dtype, "shape": t.shape, "data_offsets": [0, 0]} for n, t in tensors.items()}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return folder


def refusal(folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_local(folder)
    error = caught.value
    assert error.where is not None
    assert error.where.startswith(str(folder))
    assert error.mend
    return error
