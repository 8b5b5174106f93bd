"""Writes trained adapters as PEFT's files, which Transformers loads, and as mlx-lm's beside them."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.lora import adapted
from kto_tui.backends.mlx.model import Quantised
from kto_tui.backends.mlx.rope import nested_only, read_config
from kto_tui.catalog.mlx_config import by_itself
from kto_tui.recipe import Recipe

MLX_FOLDER = "mlx"
README = """# Adapter of run {run}

A {kind} adapter for `{model}`, trained with {method} by kto-tui under MLX on {steps} steps of {batch} rows.

{peft}{mlx}
The base model was read from `{base}`{quantised}. All choices of the run are in `run.toml` beside this folder;
`kto-tui fuse {run} FOLDER` writes base model and adapter as one Hugging Face folder.
"""
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


def weight_names(folder: Path) -> frozenset[str]:
    """Names of the tensors of the checkpoint in ``folder``."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as opened:
            names.update(opened.keys())
    return frozenset(names)


def why_no_peft(model: Any, names: frozenset[str]) -> str | None:  # noqa: ANN401
    """Why PEFT could not put the adapters on this checkpoint's layers under Transformers; None where it can.

    Args:
        model: with adapters.
        names: of the checkpoint's tensors. mlx-lm calls the layers of some architectures otherwise.
    """
    strange = [name for name, _ in adapted(model) if f"{name}.weight" not in names]
    return f"mlx-lm calls layers otherwise than Transformers, such as {strange[0]}" if strange else None


def peft_tensors(model: Any) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:  # noqa: ANN401
    """The adapters by PEFT's names, transposed as PEFT keeps them (``peft.tuners.lora.Linear``).

    ``lora_A.weight``: shape (rank, inputs); ``lora_B.weight``: (outputs, rank); ``lora_magnitude_vector``: (outputs,).
    """
    found = {}
    for name, layer in adapted(model):
        prefix = f"base_model.model.{name}"
        found[f"{prefix}.lora_A.weight"] = np.ascontiguousarray(np.array(layer.lora_a.astype(mx.float32)).T)
        found[f"{prefix}.lora_B.weight"] = np.ascontiguousarray(np.array(layer.lora_b.astype(mx.float32)).T)
        if "m" in layer:
            found[f"{prefix}.lora_magnitude_vector"] = np.array(layer.m.astype(mx.float32))
    return found


def peft_config(model: Any, recipe: Recipe, base: Path) -> dict[str, Any]:  # noqa: ANN401
    """``adapter_config.json`` of PEFT (``peft.LoraConfig``)."""
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
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name, _ in adapted(model)}),
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
            "keys": sorted({name.split(".", name.split(".").index("layers") + 2)[-1] for name, _ in adapted(model)}),
        },
    }


def write_adapter(model: Any, recipe: Recipe, base: Path, folder: Path, *, peft: bool) -> None:  # noqa: ANN401
    """PEFT's files in ``folder``, mlx-lm's in its folder ``mlx``.

    Args:
        model: with adapters.
        recipe: they were trained by.
        base: folder of the base model.
        folder: empty.
        peft: whether PEFT's are wanted; see ``why_no_peft``.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    if peft:
        save_file(peft_tensors(model), folder / "adapter_model.safetensors", {"format": "pt"})
        _write_json(folder / "adapter_config.json", peft_config(model, recipe, base))
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
    with_mlx = (MLX_FUSED if nested_only(base) else MLX).format(run=job.run.id, base=base, path=path)
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
