"""mlx-lm's own LoRA training against kto-tui's SFT and KTO under MLX: tokens per second on the same rows.

    python benchmarks/mlx_speed.py
    python benchmarks/mlx_speed.py --model mlx-community/Qwen2.5-0.5B-Instruct-4bit --count 64 --batch 4 --json

Needs ``kto-tui[mlx]`` alone and runs on a Mac as it is. The rows are the starter set's, the adapters LoRA of rank 16
on all linear layers, micro-batches and batches of both sides as large. Every timed run is a process of its own; the
kinds take turns. The first epoch compiles and is not counted. ``kto`` scores its reference in the epoch that is timed,
``kto later`` finds it, as every later epoch does. Tokens are prompt + completion, counted once a row, and the same for
all. Processor time is that of all cores, which neighbours on a shared machine do not lengthen; Metal has none.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASELINE = "mlx-lm sft"
KINDS = (BASELINE, "sft", "kto")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="checkpoint folder or id; default: the starter model")
    parser.add_argument("--count", type=int, default=32, help="rows of an epoch, a multiple of --batch")
    parser.add_argument("--batch", type=int, default=16, help="rows of an optimizer step")
    parser.add_argument("--micro-batch", type=int, default=4, help="rows at a time")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each kind")
    parser.add_argument("--precision", default="auto", help="auto, bf16 or fp32")
    parser.add_argument("--all-tokens", action="store_true", help="SFT learns prompts too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--run", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


# Wall and processor seconds.
Spent = tuple[float, float]


def now() -> Spent:
    return time.perf_counter(), time.process_time()


def since(begin: Spent) -> Spent:
    wall, processor = now()
    return wall - begin[0], processor - begin[1]


class Bench:
    """The model with fresh adapters, and the windows, of one timed run."""

    def __init__(self, options: argparse.Namespace) -> None:
        from kto_tui.backends.mlx.blas import use_openblas

        use_openblas()
        from kto_tui.backends.mlx.device import choose_device
        from kto_tui.backends.mlx.lora import attach
        from kto_tui.backends.mlx.model import load_base
        from kto_tui.backends.training.tokenizer import load_tokenizer
        from kto_tui.data.prepare import Settings, prepare
        from kto_tui.data.sources import open_source
        from kto_tui.recipe import Recipe

        self.options = options
        self.recipe = Recipe(
            method="kto" if options.run == "kto" else "sft", effective_batch=options.batch,
            micro_batch=options.micro_batch,
            max_length=512, schedule="constant", precision=options.precision,
            completion_only_loss=not options.all_tokens, epochs=3,
        )  # fmt: skip
        folder = Path(options.model)
        device = choose_device(self.recipe)
        self.device = device.type
        self.tokenizer = load_tokenizer(folder)
        settings = Settings(max_length=512, effective_batch=options.batch, seed=1, limit=options.count)
        self.windows = prepare(open_source("starter").dataset.rows, self.tokenizer, settings).windows
        self.base = load_base(folder, self.recipe, device, options.model)
        attach(self.base.model, self.recipe)

    @property
    def tokens(self) -> int:
        """Of an epoch."""
        return sum(row.length for window in self.windows for row in window)

    def ours(self) -> dict[str, Spent]:
        """An epoch of kto-tui's training, by what it is."""
        from kto_tui.backends.mlx.building import step_of
        from kto_tui.backends.mlx.compiled import Passes
        from kto_tui.backends.mlx.lora import reference_of
        from kto_tui.backends.mlx.ranks import Ranks
        from kto_tui.backends.mlx.trainer import Trainer
        from kto_tui.backends.training.guards import StepGuard
        from kto_tui.backends.training.memory_relief import MemoryRelief
        from kto_tui.backends.training.reference import ReferenceCache
        from kto_tui.methods.kto_loss import LossSettings

        model, ranks = self.base.model, Ranks()
        loss = LossSettings(beta=0.1, loss_type="kto", desirable_weight=1.0, undesirable_weight=1.0)
        passes = Passes(model, self.base.vocabulary, reference_of(model))

        def trainer(cache: ReferenceCache) -> Trainer:
            guard = StepGuard(print, learning_rate=self.recipe.learning_rate)
            relief = MemoryRelief(print, long_rows="cut", checkpointing=False)
            return Trainer(
                model,
                self.windows,
                step_of(self.recipe, passes, loss, cache, ranks),
                self.recipe,
                loss,
                guard,
                relief,
                ranks,
            )

        self._epoch(trainer(ReferenceCache()))
        found = trainer(ReferenceCache())
        seconds = {self.options.run: self._epoch(found)}
        if self.options.run == "kto":
            seconds["kto later"] = self._epoch(found)
        return seconds

    def _epoch(self, trainer: Any) -> Spent:
        begin = now()
        for _ in self.windows:
            trainer.take_step()
        return since(begin)

    def theirs(self) -> dict[str, Spent]:
        """An epoch of mlx-lm's training."""
        from mlx import optimizers
        from mlx_lm.tuner.callbacks import TrainingCallback
        from mlx_lm.tuner.trainer import TrainingArgs, train

        class Timed(TrainingCallback):  # type: ignore[misc]
            def __init__(self) -> None:
                self.at: list[Spent] = []

            def on_train_loss_report(self, train_info: dict[str, Any]) -> None:  # noqa: ARG002
                self.at.append(now())

        masked = not self.options.all_tokens
        rows = [
            ([*row.prompt_ids, *row.completion_ids], len(row.prompt_ids) if masked else 0)
            for window in self.windows
            for row in window
        ]
        passes = len(rows) // self.options.micro_batch
        timed = Timed()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            train(
                self.base.model,
                optimizers.AdamW(self.recipe.learning_rate, weight_decay=0.0),
                rows,
                args=TrainingArgs(
                    batch_size=self.options.micro_batch, iters=2 * passes, steps_per_report=1, steps_per_save=10**6,
                    grad_accumulation_steps=self.options.batch // self.options.micro_batch,
                    max_seq_length=512, adapter_file=str(Path(folder) / "adapters.safetensors"),
                ),
                training_callback=timed,
            )  # fmt: skip
        return {BASELINE: (timed.at[-1][0] - timed.at[passes - 1][0], timed.at[-1][1] - timed.at[passes - 1][1])}


def timed(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--model", options.model, "--run", kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def locate(model: str) -> str:
    from kto_tui.hub.cache import cached
    from kto_tui.starter import MODEL_ID, starter_model_folder

    if model in {"", MODEL_ID}:
        return str(starter_model_folder())
    here = None if Path(model).is_dir() else cached(model)
    return model if here is None or here.main is None else here.main.path


def main() -> None:
    options = arguments()
    if options.run:
        bench = Bench(options)
        seconds = bench.theirs() if options.run == BASELINE else bench.ours()
        print(json.dumps({"tokens": bench.tokens, "device": bench.device, "seconds": seconds}))
        return
    options.model = locate(options.model)
    rounds: list[dict[str, Spent]] = []
    for _ in range(options.rounds):
        runs = [timed(kind, options) for kind in KINDS]
        rounds.append({name: spent for one in runs for name, spent in one["seconds"].items()})
    tokens, device = runs[0]["tokens"], runs[0]["device"]
    if options.json:
        print(json.dumps({"tokens": tokens, "device": device, "rounds": rounds}))
        return
    print(f"{tokens} tokens an epoch, on {device}\n")
    print(f"| training | tokens/s (median) | times {BASELINE} | by processor time |\n|---|---|---|---|")
    for name in rounds[0]:
        speed = statistics.median(tokens / one[name][0] for one in rounds)
        wall, processor = ([one[BASELINE][which] / one[name][which] for one in rounds] for which in (0, 1))
        print(f"| {name} | {speed:.0f} | {spread(wall)} | {spread(processor) if device == 'cpu' else '-'} |")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
