"""Predicted beside measured peak memory of real runs on this machine's processor (or GPU): prints a table and JSON.

    python benchmarks/memory.py [--model FOLDER] [--only NAME ...] [--json FILE]

Every row of the data fills ``max_length``, as the prediction assumes. Each run is a real one of one step, through the
supervisor and the worker; what it measures is compared.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# name, then recipe fields besides the common ones; "shape" makes a model of random weights of that shape instead.
LARGER = {
    "architecture": "llama", "hidden_size": 960, "num_hidden_layers": 32, "num_attention_heads": 15,
    "num_key_value_heads": 5, "head_dim": 64, "intermediate_size": 2560, "vocab_size": 49152,
    "tie_word_embeddings": True,
}  # fmt: skip
QWEN = LARGER | {
    "architecture": "qwen3", "hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16,
    "num_key_value_heads": 8, "intermediate_size": 3072,
}  # fmt: skip
CONFIGURATIONS: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("135M bf16 4x256", {"precision": "bf16", "micro_batch": 4, "max_length": 256}, None),
    ("135M bf16 8x512", {"precision": "bf16", "micro_batch": 8, "max_length": 512}, None),
    ("135M fp32 2x512", {"precision": "fp32", "micro_batch": 2, "max_length": 512}, None),
    (
        "135M fp32 4x512 checkpointing",
        {"precision": "fp32", "micro_batch": 4, "max_length": 512, "gradient_checkpointing": True},
        None,
    ),
    ("135M nf4 4x512", {"precision": "bf16", "micro_batch": 4, "max_length": 512, "quantization": "nf4"}, None),
    (
        "135M bf16 1x1024 checkpointing",
        {"precision": "bf16", "micro_batch": 1, "max_length": 1024, "gradient_checkpointing": True},
        None,
    ),
    (
        "135M bf16 whole window 8x256",
        {"precision": "bf16", "micro_batch": 8, "effective_batch": 8, "max_length": 256},
        None,
    ),
    ("360M bf16 2x512", {"precision": "bf16", "micro_batch": 2, "max_length": 512}, LARGER),
    (
        "360M fp32 2x256 r64 q,v",
        {"precision": "fp32", "micro_batch": 2, "max_length": 256, "lora_rank": 64, "lora_targets": "minimal"},
        LARGER,
    ),
    ("qwen3 12 layers bf16 2x512", {"precision": "bf16", "micro_batch": 2, "max_length": 512}, QWEN),
]


MIB = 2**20


def write_rows(file: Path, tokens: int, count: int = 32) -> None:
    """Rows of more tokens than ``tokens``, one half of each its prompt."""
    chance = random.Random(1)  # noqa: S311 - filler text
    words = ("river", "stone", "lamp", "green", "seven", "walk", "paper", "north", "quick", "bread", "cloud", "table")
    with file.open("w", encoding="utf-8") as out:
        for i in range(count):
            prompt, answer = (" ".join(chance.choices(words, k=size)) for size in (tokens // 4, tokens * 2))
            out.write(json.dumps({"prompt": prompt, "completion": f" {answer}", "label": i % 2 == 0}) + "\n")


def make_model(folder: Path, shape: dict[str, Any], tokenizer: Path) -> None:
    """A checkpoint of random weights of ``shape`` with the tokenizer of another model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    values = dict(shape)
    config = AutoConfig.for_model(values.pop("architecture"), **values)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def measure(name: str, changes: dict[str, Any], model: Path, folder: Path) -> dict[str, Any]:
    """One run's prediction and measurement, in bytes."""
    from kto_tui.runs.event_log import Tail
    from kto_tui.runs.events import Ended, PeakMeasured

    # Windows of two micro-batches have every moment that longer ones have.
    usual: dict[str, Any] = {"effective_batch": 2 * changes["micro_batch"], "steps": 1, "heldout_share": 0.1}
    recipe = usual | changes
    rows = folder / "rows.jsonl"
    write_rows(rows, recipe["max_length"])
    lines = [f"model = {json.dumps(str(model))}", f"data = {json.dumps(str(rows))}", "[recipe]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in recipe.items()]
    run_file = folder / "run.toml"
    run_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    home = folder / "home"
    environment = os.environ | {"KTO_TUI_HOME": str(home)}
    subprocess.run(
        [sys.executable, "-m", "kto_tui", "train", str(run_file), "--json"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (log,) = home.glob("runs/*/events.jsonl")
    events = Tail(log).read(1 << 30)
    peak = next(event for event in events if isinstance(event, PeakMeasured))
    assert any(isinstance(event, Ended) and event.reason == "finished" for event in events)
    outside = peak.outside_bytes or 0
    return {
        "name": name,
        "predicted_bytes": peak.predicted_bytes,
        "measured_bytes": peak.allocated_bytes,
        "reserved_bytes": peak.reserved_bytes,
        "outside_bytes": outside,
        "process_bytes": peak.process_bytes,
        "row_tokens": peak.row_tokens,
    }


def main() -> int:
    """Run and print."""
    from kto_tui.memory.process import cpu_outside
    from kto_tui.starter import starter_model_folder

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=starter_model_folder(), help="of the 135M rows")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--json", type=Path, dest="as_json")
    args = parser.parse_args()
    found = []
    print(f"{'configuration':34} {'predicted':>10} {'measured':>10} {'error':>7}   process predicted / measured, error")
    for name, changes, shape in CONFIGURATIONS:
        if args.only is not None and not any(word in name for word in args.only):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder, model = Path(scratch), args.model
            if shape is not None:
                model = folder / "model"
                make_model(model, shape, args.model)
            one = measure(name, changes, model, folder)
        predicted, measured = one["predicted_bytes"], one["measured_bytes"]
        process, resident = predicted + cpu_outside(), one["process_bytes"]
        line = f"{name:34} {predicted / MIB:8.0f} M {measured / MIB:8.0f} M {predicted / measured - 1:+7.1%}"
        print(f"{line}   {process / MIB:6.0f} / {resident / MIB:6.0f} M {process / resident - 1:+6.1%}", flush=True)
        found.append(one)
    if args.as_json is not None:
        args.as_json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
