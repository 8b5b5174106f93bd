"""Predicted beside measured peak bytes of MLX's allocator in training steps of models of random weights.

    python benchmarks/mlx_memory.py [--only WORD ...] [--json FILE] [--configurations FILE]

Every configuration runs in a process of its own: the trainer of the backend takes eight steps on rows that fill
``max_length``; the peak is the most in use after the first, which compiles. Nothing but MLX is needed.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

STEPS = 8
MIB = 2**20
TABLE = Path(__file__).resolve().parent.parent / "tests/memory/mlx_peaks.json"


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured.

    Attributes:
        name: of the row.
        shape: config.json of the model, as mlx-lm reads it.
        parameters: that it has.
        recipe: fields of ``kto_tui.recipe.Recipe``; ``precision`` is always named.
        scored: of the tokens of a row, those of its completion; all but one where it is left out.
        fitted: whether coefficients were fitted to this row; the others are held out.
        measured: bytes, the most of every step after the first.
    """

    name: str
    shape: dict[str, Any]
    parameters: int
    recipe: dict[str, Any]
    scored: int | None = None
    fitted: bool = False
    measured: int | None = None


def predict(row: Configuration) -> float:
    """Bytes that are expected of a row."""
    from kto_tui.catalog import ModelSpec
    from kto_tui.catalog.config_file import read_config
    from kto_tui.memory.mlx import predict_mlx
    from kto_tui.memory.predict import Window
    from kto_tui.recipe import Recipe

    recipe = msgspec.convert(row.recipe, Recipe)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(row.shape), encoding="utf-8")
        model = read_config(Path(folder), ModelSpec(id=row.name, title=row.name, parameters=row.parameters))
    window = Window(recipe.max_length, row.scored or recipe.max_length - 1)
    parts = predict_mlx(model, recipe, window, metal=False)
    if parts is None:
        raise ValueError(f"{row.name}: nothing can be predicted")
    return parts.total


def write_checkpoint(row: Configuration, folder: Path) -> None:
    """A model of random weights in ``folder``, in bf16."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes

    (folder / "config.json").write_text(json.dumps(row.shape), encoding="utf-8")
    kind, arguments = _get_classes(row.shape)
    model = kind(arguments.from_dict(row.shape))
    model.set_dtype(mx.bfloat16)
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "pt"})


def measure(row: Configuration, write: Callable[[Configuration, Path], None] = write_checkpoint) -> list[int]:
    """Peak bytes of each step, weights and all, beside arrays that were there before; ``write`` makes the model."""
    from kto_tui.backends.mlx.blas import use_openblas

    use_openblas()
    import mlx.core as mx

    from kto_tui.backends.mlx.building import step_of
    from kto_tui.backends.mlx.checkpointing import checkpoint_layers
    from kto_tui.backends.mlx.compiled import Passes
    from kto_tui.backends.mlx.device import Device
    from kto_tui.backends.mlx.lora import attach, reference_of
    from kto_tui.backends.mlx.model import load_base
    from kto_tui.backends.mlx.ranks import Ranks
    from kto_tui.backends.mlx.trainer import Trainer
    from kto_tui.backends.training.guards import StepGuard
    from kto_tui.backends.training.memory_relief import MemoryRelief
    from kto_tui.backends.training.reference import ReferenceCache
    from kto_tui.methods.kto_loss import LossSettings
    from kto_tui.recipe import Recipe

    recipe = msgspec.convert(row.recipe, Recipe)
    gc.collect()
    before = mx.get_active_memory()
    device = Device("cpu", mx.bfloat16 if recipe.precision == "bf16" else mx.float32, recipe.precision)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(row, folder)
        base = load_base(folder, recipe, device, str(folder))
    attach(base.model, recipe)
    passes, ranks = Passes(base.model, base.vocabulary, reference_of(base.model)), Ranks()
    if recipe.gradient_checkpointing:
        checkpoint_layers(base.model)
    settings = LossSettings(recipe.beta, recipe.loss_type, 1.0, 1.0)
    step = step_of(recipe, passes, settings, ReferenceCache(), ranks)
    guard = StepGuard(lambda _: None, learning_rate=recipe.learning_rate)
    relief = MemoryRelief(lambda _: None, long_rows="cut", checkpointing=recipe.gradient_checkpointing)
    trainer = Trainer(base.model, windows(row, recipe), step, recipe, settings, guard, relief, ranks)
    peaks = []
    for _ in range(STEPS):
        mx.reset_peak_memory()
        trainer.take_step()
        peaks.append(mx.get_peak_memory() - before)
    return peaks


def windows(row: Configuration, recipe: Any) -> list[Any]:
    """A window for every step, of rows of ``max_length`` tokens."""
    import random

    from kto_tui.data.prepare import PreparedRow

    chance = random.Random(1)  # noqa: S311 - filler
    scored = row.scored or recipe.max_length - 1

    def ids(count: int) -> tuple[int, ...]:
        return tuple(chance.randrange(row.shape["vocab_size"]) for _ in range(count))

    return [
        tuple(
            PreparedRow(n, n % 2 == 0, ids(recipe.max_length - scored), ids(scored), ids(scored))
            for n in range(recipe.effective_batch)
        )
        for _ in range(STEPS)
    ]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--configurations", type=Path, default=TABLE, help="rows, as --json writes them")
    parser.add_argument("--only", nargs="*", default=None, metavar="WORD")
    parser.add_argument("--json", type=Path, dest="as_json")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = msgspec.json.decode(args.configurations.read_bytes(), type=list[Configuration])
    if args.one is not None:
        print(json.dumps(measure(rows[args.one])))
        return 0
    found = []
    print(f"{'configuration':48} {'predicted':>10} {'measured':>10} {'error':>7}")
    for number, row in enumerate(rows):
        if args.only is not None and not any(word in row.name for word in args.only):
            continue
        command = [sys.executable, __file__, "--configurations", str(args.configurations), "--one", str(number)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        measured, predicted = max(json.loads(done.stdout.splitlines()[-1])[1:]), predict(row)
        error = predicted / measured - 1
        kind = " fitted" if row.fitted else ""
        print(f"{row.name:48} {predicted / MIB:8.1f} M {measured / MIB:8.1f} M {error:+7.1%}{kind}", flush=True)
        found.append(msgspec.structs.replace(row, measured=measured))
    if args.as_json is not None:
        args.as_json.write_bytes(b"[" + b",\n".join(map(msgspec.json.encode, found)) + b"]\n")  # a row a line
    return 0


if __name__ == "__main__":
    sys.exit(main())
