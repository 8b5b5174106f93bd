"""Tiny models under MLX and Transformers: loaded, given adapters that matter, and asked for their logits."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from kto_tui.backends.mlx.lora import adapted, attach
from kto_tui.backends.mlx.model import load_base
from kto_tui.backends.mlx.peft_format import peft_layers, weight_names, write_adapter
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.folder import RunFolder
from tests.backends.mlx.trainings import FP32, RECIPE
from tests.runs.made import made_run

Logits = np.ndarray[Any, np.dtype[np.float32]]
IDS = np.random.default_rng(0).integers(5, 250, (2, 40))


def changed(folder: Path, into: Path, *without: str, **config: Any) -> Path:
    """A copy of a checkpoint whose config.json has other values, or some no more, and whose attention is sharp.

    Attention of random weights is about even: wherever a rotary setting puts a token, it is heard the same.
    """
    shutil.copytree(folder, into)
    weights = load_file(into / "model.safetensors")
    for name, each in weights.items():
        weights[name] = each * 10 if any(part in name for part in ("q_proj.w", "k_proj.w", "qkv_proj.w")) else each
    save_file(weights, into / "model.safetensors", {"format": "pt"})
    file = into / "config.json"
    table = json.loads(file.read_text()) | config
    file.write_text(json.dumps({name: value for name, value in table.items() if name not in without}))
    return into


def stored_as(folder: Path, into: Path, dtype: torch.dtype, **save: Any) -> Path:
    """A copy of a checkpoint in another number format."""
    shutil.copytree(folder, into)
    (into / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(into, **save)
    return into


def tuned(folder: Path, recipe: Recipe = RECIPE) -> Any:
    """A model of mlx-lm whose adapters, and magnitudes under DoRA, change what it says."""
    model = load_base(folder, recipe, FP32, str(folder)).model
    attach(model, recipe)
    mx.random.seed(1)
    for _, layer in adapted(model):
        layer.lora_b = 0.2 * mx.random.normal(layer.lora_b.shape)
        if "m" in layer:
            layer.m = layer.m * mx.random.uniform(0.7, 1.3, layer.m.shape)
    return model


def run_of(folder: Path, model: Any, recipe: Recipe = RECIPE, name: str = "bold-fox") -> RunFolder:
    """A run over the base model in ``folder`` that has saved the adapters of ``model``."""
    run = made_run(name, config=RunConfig(model=str(folder), data="starter", recipe=recipe, backend="mlx"))
    run.adapter.mkdir()
    write_adapter(model, recipe, folder, run.adapter, peft=peft_names_of(model, folder))
    return run


def peft_names_of(model: Any, folder: Path) -> dict[str, str] | None:
    """PEFT's names of the layers with adapters, by mlx-lm's."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return peft_layers(model, weight_names(folder), kind)


def mlx_logits(model: Any) -> Logits:
    """Of ``IDS``: shape (2, 40, vocabulary)."""
    model.eval()
    return np.array(model(mx.array(IDS)).astype(mx.float32))


def torch_logits(model: Any) -> Logits:
    """Of ``IDS``: shape (2, 40, vocabulary)."""
    with torch.no_grad():
        found: Logits = model.eval()(torch.tensor(IDS)).logits.float().numpy()
    return found


def transformers_model(folder: Path, dtype: torch.dtype | str = torch.float32) -> Any:
    """Loaded by Transformers, which must find every weight and no other."""
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    assert not any(report.values()), report
    return model


def gap(one: Logits, other: Logits) -> float:
    """Largest difference."""
    return float(np.abs(one - other).max())
