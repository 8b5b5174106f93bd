"""Does the speed cost learning? Plain TRL and kto-tui on the same rows in the same order, scored on other rows.

    python benchmarks/convergence.py --count 160 --seeds 3

Starter set, recipe of the starter run (learning rate 3e-4, warm-up, cosine), effective batch 8, one epoch of
``--count`` rows drawn by the seed. Plain TRL runs at its fastest micro-batch. Both are scored on the held-out rows by
one plain forward pass that belongs to neither: accuracy is the share of rows whose reward has the sign of their label,
margin the mean reward of desirable rows minus that of undesirable ones.
"""

import argparse
import json
import random
import subprocess
import sys
from typing import Any

from throughput import ROOT, environment, read_starter

KINDS = ("trl", "ours")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=160, help="rows to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--micro-batch", type=int, default=2, help="of plain TRL")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--run", nargs=2, metavar=("KIND", "SEED"), help=argparse.SUPPRESS)
    return parser.parse_args()


def trained_and_scored(options: argparse.Namespace, kind: str, seed: int) -> dict[str, float]:
    """Train as ``kind`` with ``seed`` and score the held-out rows."""
    import msgspec
    from datasets import Dataset
    from scoring import score
    from training import SETTINGS, config, dtype, exact, load, lora, model_folder, to_rows
    from transformers import AutoTokenizer, PrinterCallback, set_seed
    from trl import KTOTrainer

    from kto_tui.data.prepare import prepare

    folder = model_folder(argparse.Namespace(shape="", model=""))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = random.Random(seed).sample(read_starter("train"), options.count)  # noqa: S311 - no secret
    windows = prepare(to_rows(chats), tokenizer, msgspec.structs.replace(SETTINGS, seed=seed)).windows
    recipe = {"seed": seed, "learning_rate": 3e-4, "lr_scheduler_type": "cosine", "warmup_steps": 0.1}
    set_seed(seed)
    model = load(folder, dtype())
    if kind == "ours":
        trainer: Any = exact(tokenizer, model, windows, SETTINGS.effective_batch, "", **recipe)
    else:
        micro = options.micro_batch
        trainer = KTOTrainer(
            model=model,
            args=config(
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=SETTINGS.effective_batch // micro,
                **recipe,
            ),
            train_dataset=Dataset.from_list([chats[row.line - 1] for window in windows for row in window]),
            processing_class=tokenizer,
            peft_config=lora(),
        )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return score(trainer.model, tokenizer, read_starter("heldout"), beta=trainer.args.beta)


def main() -> None:
    options = arguments()
    if options.run:
        print(json.dumps(trained_and_scored(options, options.run[0], int(options.run[1]))))
        return
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for seed in range(1, options.seeds + 1):
        for kind in KINDS:
            command = [sys.executable, __file__, "--count", str(options.count)]
            command += ["--micro-batch", str(options.micro_batch), "--run", kind, str(seed)]
            done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{kind} with seed {seed} failed:\n{done.stderr[-3000:]}")
            results[kind].append(json.loads(done.stdout.splitlines()[-1]))
            print(seed, kind, results[kind][-1], file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1) if options.json else table(results))


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Accuracy and margin by seed and their means, as a Markdown table."""
    lines = ["| seed | plain TRL accuracy | ours | plain TRL margin | ours |", "|---|---|---|---|---|"]
    rows = [(str(i + 1), trl, ours) for i, (trl, ours) in enumerate(zip(*results.values(), strict=True))]
    means = [{name: sum(one[name] for one in results[kind]) / len(rows) for name in rows[0][1]} for kind in KINDS]
    for name, trl, ours in [*rows, ("mean", *means)]:
        cells = [name, *(f"{one['accuracy']:.1%}" for one in (trl, ours))]
        lines.append("| " + " | ".join([*cells, *(f"{one['margin']:+.3f}" for one in (trl, ours))]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
