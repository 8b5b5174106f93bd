"""Predicted beside measured peak bytes of MLX's allocator in training on folders that MLX has quantised.

    python benchmarks/mlx_quantised_memory.py [--only WORD ...]

As benchmarks/mlx_memory.py, but the base model is quantised and saved as mlx_lm.convert does it, and what is predicted
rests on the headers of its files alone. Nothing but MLX is needed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from mlx_memory import MIB, Configuration, measure, write_checkpoint

SHAPE = {
    "model_type": "llama", "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6,
    "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 4000, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "max_position_embeddings": 4096, "rope_theta": 10000.0,
}  # fmt: skip
UNTIED = SHAPE | {"num_hidden_layers": 4, "num_key_value_heads": 1, "vocab_size": 2000, "tie_word_embeddings": False}
RECIPE = {"micro_batch": 1, "effective_batch": 2, "max_length": 64, "lora_rank": 8}


class Row(NamedTuple):
    """``settings``: of ``mlx_lm.utils.quantize_model``; ``down``: those of every down_proj, where they are others."""

    configuration: Configuration
    settings: dict[str, Any]
    down: dict[str, Any] | None = None


def row(
    name: str, shape: dict[str, Any], precision: str, *, down: dict[str, Any] | None = None, **settings: Any
) -> Row:
    """A row; its parameters are counted from its files."""
    recipe = RECIPE | {"precision": precision}
    given = {"group_size": None, "bits": None} | settings
    return Row(Configuration(name=name, shape=shape, parameters=0, recipe=recipe), given, down)


ROWS = [
    row("llama 6 layers 1x64 4 bits fp32", SHAPE, "fp32", bits=4),
    row("llama 6 layers 1x64 8 bits bf16", SHAPE, "bf16", bits=8),
    row("llama 4 layers 1x64 4 and 8 bits fp32", UNTIED, "fp32", bits=4, down={"group_size": 32, "bits": 8}),
    row("llama 4 layers 1x64 mxfp4 fp32", UNTIED, "fp32", mode="mxfp4"),
]


def write_quantised(one: Row, configuration: Configuration, folder: Path) -> None:
    """The model of ``configuration`` in ``folder``, quantised and saved by mlx-lm."""
    from mlx_lm.utils import load_model, quantize_model, save_config, save_model

    def chosen(path: str, _: object) -> bool | dict[str, Any]:
        return one.down if one.down is not None and path.endswith("down_proj") else True

    with tempfile.TemporaryDirectory() as scratch:
        write_checkpoint(configuration, Path(scratch))
        model, config = load_model(Path(scratch))
        model, config = quantize_model(model, config, **one.settings, quant_predicate=chosen)
        save_model(folder, model)
        save_config(config, folder / "config.json")


def compare(one: Row) -> tuple[float, int]:
    """(predicted, measured) bytes."""
    from kto_tui.catalog import read_local
    from kto_tui.memory.mlx import predict_mlx
    from kto_tui.memory.predict import Window
    from kto_tui.recipe import Recipe

    found = []

    def write(configuration: Configuration, folder: Path) -> None:
        write_quantised(one, configuration, folder)
        found.append(read_local(folder))

    measured = max(measure(one.configuration, write)[1:])
    recipe = msgspec.convert(one.configuration.recipe, Recipe)
    parts = predict_mlx(found[0], recipe, Window(recipe.max_length, recipe.max_length - 1), metal=False)
    if parts is None:
        raise ValueError(f"{one.configuration.name}: nothing can be predicted")
    return parts.total, measured


def main() -> int:
    """Run and print; every row in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="*", default=None, metavar="WORD")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(compare(ROWS[args.one])))
        return 0
    print(f"{'folder':44} {'predicted':>10} {'measured':>10} {'error':>7}")
    for number, one in enumerate(ROWS):
        name = one.configuration.name
        if args.only is None or any(word in name for word in args.only):
            done = subprocess.run([sys.executable, __file__, "--one", str(number)], check=True, stdout=subprocess.PIPE)
            predicted, measured = json.loads(done.stdout.splitlines()[-1])
            error = predicted / measured - 1
            print(f"{name:44} {predicted / MIB:8.1f} M {measured / MIB:8.1f} M {error:+7.1%}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
