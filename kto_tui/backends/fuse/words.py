"""What a person is told of a fused model: its README, and what to know of its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kto_tui.backends.fuse.base_model import quantization_of
from kto_tui.catalog.mlx import COMPARED, TEXT_MODELS
from kto_tui.catalog.mlx_config import by_itself
from kto_tui.runs.config import RunConfig

README = """# {model}, tuned by run {run}

The base model `{model}` (read from `{base}`) with the {kind} adapter of run {run} merged into its weights, trained with
{method} by kto-tui. Merged in float32 and written in the number format of the base model.
{notes}
With Transformers:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{target}")
tokenizer = AutoTokenizer.from_pretrained("{target}")
```

{mlx}
`config.json` names the rotary settings at the top level too, because mlx-lm reads most of them nowhere else. The base
model's licence holds for this one; see its own page.
"""

MLX = """With mlx-lm:

```console
mlx_lm.generate --model {target} --prompt "..."
```
"""
# Transformers would not take a language model by the name of what it is part of.
MLX_RENAMED = """mlx-lm loads a copy whose `config.json` says `"model_type": "{name}"`, and Transformers this one.
"""


def notes_of(config: RunConfig, described: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences without full stops on how the fused weights differ from those that were trained on.

    Args:
        config: of the run.
        described: configuration of the base model.
    """
    alone = by_itself(described)
    found = [] if alone is None else [f"mlx-lm by itself {alone}: there it answers otherwise than under Transformers"]
    quantization = quantization_of(described)
    if quantization is None:
        if config.recipe.quantization != "none":
            over = f"a base model quantised as {config.recipe.quantization}"  # which may have left some of its layers
            found.append(f"The adapter was trained over {over} and is merged into the original weights: figures differ")
        return tuple(found)
    found.append(
        f"The base model's {quantization['bits']}-bit weights were dequantised; the lost precision is not back"
    )
    if (kind := described.get("model_type")) not in COMPARED:
        found.append(f"Tensors have mlx-lm's names for {kind}: whether Transformers knows them has not been tested")
    return tuple(found)


def readme(
    run: str,
    config: RunConfig,
    base: Path,
    described: Mapping[str, Any],
    target: Path,
    notes: tuple[str, ...],
    *,
    dora: bool,
) -> str:
    """The folder's README.

    Args:
        run: its id.
        config: of it.
        base: folder of the base model.
        described: its configuration.
        target: the folder.
        notes: as ``notes_of`` says.
        dora: whether the adapter is one.
    """
    said = "".join(f"\n{note}.\n" for note in notes)
    name = TEXT_MODELS.get(str(described.get("model_type")))
    mlx = MLX.format(target=target) if name is None else MLX_RENAMED.format(name=name)
    return README.format(
        model=config.model, run=run, base=base, kind="DoRA" if dora else "LoRA", method=config.recipe.method.upper(),
        notes=said, target=target, mlx=mlx,
    )  # fmt: skip
