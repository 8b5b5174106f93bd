"""Writes trained adapters as PEFT's files, which Transformers loads, and as mlx-lm's beside them."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from kto_tui.backends.base import Job
from kto_tui.backends.layer_names import in_transformers
from kto_tui.backends.mlx.alone import unfound
from kto_tui.backends.mlx.lora import adapted
from kto_tui.backends.mlx.model import Quantised
from kto_tui.backends.mlx.rope import read_config
from kto_tui.catalog.mlx_config import by_itself
from kto_tui.recipe import Recipe

MLX_FOLDER = "mlx"
README = """# Adapter of run {run}

A {kind} adapter for `{model}`, trained with {method} by kto-tui under MLX on {steps} steps of {batch} rows.

{peft}{mlx}
The base model was read from `{base}`{quantised}. All choices of the run are in `run.toml` beside this folder;
{fuse}
"""
FUSE = "`kto-tui fuse {run} FOLDER` writes base model and adapter as one Hugging Face folder."
NO_FUSE = (
    "mlx-lm calls the layers otherwise than Transformers: PEFT cannot load the adapter, nor `kto-tui fuse` merge it."
)
PEFT = """```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{path}")
tokenizer = AutoTokenizer.from_pretrained("{path}")
```

"""
# The adapter's layers are those of the original model, whose weights the base model's are made of.
PEFT_ON_ORIGINAL = """Transformers cannot read weights quantised by MLX; it loads the adapter on the original model:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("the original model"), "{path}")
```

"""
MLX = """With mlx-lm, from the files in `mlx`:

```console
mlx_lm.generate --model {base} --adapter-path {path}/mlx --prompt "..."
```
"""
MLX_OTHERWISE = """
mlx-lm by itself {what}. kto-tui trained it as Transformers computes it: with mlx-lm it answers otherwise.
"""
# It would fall back to other rotary settings and answer plausible nonsense.
MLX_FUSED = """mlx-lm does not find the rotary settings where the base model's `config.json` has them. Fuse first:

```console
kto-tui fuse {run} FOLDER
mlx_lm.generate --model FOLDER --prompt "..."
```
"""
# It cannot be fused, or mlx-lm would not load the fused folder either.
MLX_TOLD = """With mlx-lm, from the files in `mlx` and a copy of the base model whose `config.json` also says what
mlx-lm does not find in it by itself:

```json
{entries}
```

```console
mlx_lm.generate --model COPY --adapter-path {path}/mlx --prompt "..."
```
"""


def weight_names(folder: Path) -> frozenset[str]:
    """Names of the tensors of the checkpoint in ``folder``."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as opened:
            names.update(opened.keys())
    return frozenset(names)


def peft_layers(model: Any, tensors: frozenset[str], kind: str) -> dict[str, str] | None:  # noqa: ANN401
    """PEFT's names of the layers with adapters, by mlx-lm's; None where the checkpoint has no such layers.

    Args:
        model: with adapters.
        tensors: names of the checkpoint's tensors; see ``weight_names``.
        kind: its ``model_type``.
    """
    found = {name: in_transformers(name, tensors, kind) for name, _ in adapted(model)}
    known = {name: other for name, other in found.items() if other is not None}
    return known if len(known) == len(found) else None


def peft_tensors(model: Any, layers: Mapping[str, str]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:  # noqa: ANN401
    """The adapters by PEFT's names, transposed as PEFT keeps them (``peft.tuners.lora.Linear``).

    ``lora_A.weight``: shape (rank, inputs); ``lora_B.weight``: (outputs, rank); ``lora_magnitude_vector``: (outputs,).
    """
    found = {}
    for name, layer in adapted(model):
        prefix = f"base_model.model.{layers[name]}"
        found[f"{prefix}.lora_A.weight"] = np.ascontiguousarray(np.array(layer.lora_a.astype(mx.float32)).T)
        found[f"{prefix}.lora_B.weight"] = np.ascontiguousarray(np.array(layer.lora_b.astype(mx.float32)).T)
        if "m" in layer:
            found[f"{prefix}.lora_magnitude_vector"] = np.array(layer.m.astype(mx.float32))
    return found


def _targets(layers: Collection[str]) -> list[str] | str:
    """Last parts of the layers' names; in a larger model a pattern that leaves out what is called likewise there."""
    last = sorted({name.rsplit(".", 1)[-1] for name in layers})
    return rf".*language_model\..*\.({'|'.join(last)})" if any("language_model." in name for name in layers) else last


def peft_config(layers: Collection[str], recipe: Recipe, base: Path) -> dict[str, Any]:
    """``adapter_config.json`` of PEFT (``peft.LoraConfig``) for ``layers``, by PEFT's names."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": recipe.lora_rank,
        "lora_alpha": recipe.lora_alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_dora": recipe.use_dora,
        "target_modules": _targets(layers),
    }


def mlx_config(model: Any, recipe: Recipe) -> dict[str, Any]:  # noqa: ANN401
    """``adapter_config.json`` of mlx-lm (``mlx_lm.tuner.utils.load_adapters``)."""
    return {
        "fine_tune_type": "dora" if recipe.use_dora else "lora",
        "num_layers": len(model.layers),
        "lora_parameters": {
            "rank": recipe.lora_rank,
            "scale": recipe.lora_alpha / recipe.lora_rank,
            "dropout": 0.0,
            "keys": sorted({name for layer in model.layers for name, _ in adapted(layer)}),
        },
    }


def write_adapter(model: Any, recipe: Recipe, base: Path, folder: Path, *, peft: Mapping[str, str] | None) -> None:  # noqa: ANN401
    """PEFT's files in ``folder``, mlx-lm's in its folder ``mlx``.

    Args:
        model: with adapters.
        recipe: they were trained by.
        base: folder of the base model.
        folder: empty.
        peft: PEFT's names of the layers, as of ``peft_layers``; None where its files are not wanted.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    if peft is not None:
        save_file(peft_tensors(model, peft), folder / "adapter_model.safetensors", {"format": "pt"})
        _write_json(folder / "adapter_config.json", peft_config(peft.values(), recipe, base))
    inner = folder / MLX_FOLDER
    inner.mkdir()
    tensors = {}
    for name, layer in adapted(model):
        for part in ("lora_a", "lora_b", "m"):
            if part in layer:
                tensors[f"{name}.{part}"] = np.array(layer[part].astype(mx.float32))
    save_file(tensors, inner / "adapters.safetensors")
    _write_json(inner / "adapter_config.json", mlx_config(model, recipe))


def readme(job: Job, base: Path, steps: int, quantised: Quantised | None, *, peft: bool) -> str:
    """What the adapter is and how it is loaded.

    Args:
        job: the run.
        base: folder of the base model.
        steps: optimizer steps that were trained.
        quantised: how much of the base weights is.
        peft: whether PEFT's files are there.
    """
    recipe, path = job.config.recipe, job.run.adapter
    of_itself = quantised is not None and recipe.quantization == "none"
    with_peft = (PEFT_ON_ORIGINAL if of_itself else PEFT).format(path=path)
    lacks = unfound(base)
    how = MLX if not lacks else MLX_FUSED if peft and "model_type" not in lacks else MLX_TOLD
    with_mlx = how.format(run=job.run.id, base=base, path=path, entries=json.dumps(lacks, indent=2))
    if (what := by_itself(read_config(base))) is not None:
        with_mlx += MLX_OTHERWISE.format(what=what)
    return README.format(
        run=job.run.id,
        kind="DoRA" if recipe.use_dora else "LoRA",
        model=job.config.model,
        method=recipe.method.upper(),
        steps=steps,
        batch=recipe.effective_batch,
        peft=with_peft if peft else "",
        mlx=with_mlx,
        fuse=(FUSE if peft else NO_FUSE).format(run=job.run.id),
        base=base,
        quantised=_over(quantised),
    )


def _over(quantised: Quantised | None) -> str:
    if quantised is None:
        return ""
    part = "" if quantised.layers == quantised.of else f" in {quantised.layers} of {quantised.of} layers"
    return f", its weights quantised to {quantised.bits} bits{part}: figures of the run hold for those"


def _write_json(file: Path, table: dict[str, Any]) -> None:
    file.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
