"""KTO under MLX against TRL's KTOTrainer on a real model: the same adapters, rows and settings, step by step.

    python benchmarks/mlx_parity.py
    python benchmarks/mlx_parity.py --model some/folder --rows 64 --steps 8 --json

Both sides run in fp32. Their LoRA begins with a B that is not zero, signed so that the first window's KL is above zero,
and TRL gets the rows in the order of kto-tui's windows, a window a batch. Needs ``kto-tui[train,mlx]``; on Linux
``mlx[cpu]``, which OpenBLAS (Debian's libopenblas0-pthread) makes several times as fast where it is installed.
"""

import argparse
import json
import platform
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

# Small enough for the log-ratios to follow its sign.
B_DEVIATION = 0.005
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# What the tests on tiny models hold, too.
TOLERANCES = {"loss": 5e-6, "kl": 1e-4, "log p": 1e-3, "gradients": 1e-3, "adapter": 1e-3}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="checkpoint folder; default: the starter model")
    parser.add_argument("--rows", type=int, default=64, help="rows of the starter set, at most 64")
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps, a window each")
    parser.add_argument("--batch", type=int, default=8, help="rows of a window")
    parser.add_argument("--loss-type", default="kto", choices=("kto", "apo_zero_unpaired"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The largest differences of all steps."""
    import msgspec
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import KTOConfig, KTOTrainer

    from kto_tui.backends.training.tokenizer import load_tokenizer
    from kto_tui.data.prepare import Settings, prepare
    from kto_tui.data.sources import open_source
    from kto_tui.methods.kto_loss import LossSettings
    from kto_tui.recipe import Recipe
    from tests.backends.mlx import trainings
    from tests.backends.mlx.conftest import copy_adapters, disturb
    from tests.backends.mlx.test_parity import record

    recipe = Recipe(
        loss_type=options.loss_type, effective_batch=options.batch, micro_batch=4, max_length=256, steps=options.steps,
        learning_rate=3e-4, precision="fp32",
    )  # fmt: skip
    tokenizer = load_tokenizer(folder)
    rows = open_source("starter").dataset.rows
    kl = options.loss_type == "kto"
    windows = prepare(
        rows,
        tokenizer,
        Settings(max_length=256, effective_batch=options.batch, seed=1, kl=kl, limit=min(64, options.rows)),
    ).windows
    by_line = {row.line: row for row in rows}
    records = [
        {name: msgspec.to_builtins(getattr(by_line[row.line], name)) for name in ("prompt", "completion", "label")}
        for window in windows
        for row in window
    ]
    trl = KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        args=KTOConfig(
            output_dir=tempfile.mkdtemp(), per_device_train_batch_size=options.batch, learning_rate=3e-4,
            lr_scheduler_type=recipe.schedule, warmup_steps=recipe.warmup, max_length=256, max_steps=options.steps,
            loss_type=options.loss_type, bf16=False, gradient_checkpointing=False, logging_steps=1, save_strategy="no",
            report_to="none", disable_tqdm=True, use_cpu=True, train_sampling_strategy="sequential",
        ),
        train_dataset=Dataset.from_list(records),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    model = trainings.mlx_model(folder, recipe)
    settings = LossSettings(beta=0.1, loss_type=options.loss_type, desirable_weight=1.0, undesirable_weight=1.0)
    trainer = trainings.mlx_trainer(model, windows, recipe, settings, vocabulary=model.args.vocab_size)
    for deviation in (B_DEVIATION, -B_DEVIATION):
        disturb(trl.model, deviation=deviation)
        copy_adapters(trl.model, model)
        if not kl or trainer.step.kl(trainer.share(0)) > 0:
            break
    expected = record(trl)
    found = trainings.take_steps(trainer)
    pairs = list(zip(expected, found, strict=True))
    logged = ("logps/chosen", "logps/rejected")
    final = {name: each.detach().numpy() for name, each in trl.model.named_parameters() if each.requires_grad}
    return {
        "steps": len(pairs),
        "loss": max(abs(one.loss - other.loss) for one, other in pairs),
        "kl": max(abs(one.logs.get("kl", 0) - other.logs.get("kl", 0)) for one, other in pairs),
        "largest kl": max(one.logs.get("kl", 0) for one, _ in pairs),
        "log p": max(abs(one.logs[name] - other.logs[name]) for one, other in pairs for name in logged),
        "gradients": max(trainings.relative(one.gradients, other.gradients) for one, other in pairs),
        "adapter": trainings.relative(final, trainings.adapters(trainer)),
    }


def main() -> None:
    options = arguments()
    from kto_tui.backends.mlx.blas import use_openblas

    blas = "OpenBLAS" if use_openblas() else "MLX's own BLAS"
    from kto_tui.starter import starter_model_folder

    warnings.simplefilter("ignore")
    folder = Path(options.model or starter_model_folder())
    found = compare(options, folder)
    packages = ("mlx", "mlx-lm", "trl", "peft", "transformers", "torch")
    about = {
        "model": folder.name, "loss_type": options.loss_type, "blas": blas, "machine": platform.machine(),
        **{name: metadata.version(name) for name in packages},
    }  # fmt: skip
    if options.json:
        print(json.dumps({**about, **found}))
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()), "\n")
    print("| largest difference of all steps | found | allowed |\n|---|---|---|")
    for name, tolerance in TOLERANCES.items():
        print(f"| {name} | {found[name]:.1e} | {tolerance:.0e} |")
    print(f"\n{found['steps']} steps of {options.batch} rows, KL up to {found['largest kl']:.3f}")
    sys.exit(any(found[name] > tolerance for name, tolerance in TOLERANCES.items()))


if __name__ == "__main__":
    main()
