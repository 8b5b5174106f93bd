"""The timed trainings of throughput.py and convergence.py: plain TRL and kto-tui on the same rows."""

import argparse
import importlib.metadata
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import KTOConfig, KTOTrainer

from kto_tui.backends.hf.kto.trainer import ExactKTOTrainer
from kto_tui.backends.training.reference import ReferenceCache
from kto_tui.data.prepare import Settings, Window, prepare
from kto_tui.data.rows import Message, Row
from kto_tui.paths import models_home

SETTINGS = Settings(max_length=512, effective_batch=8, seed=42)


def model_folder(options: argparse.Namespace) -> Path:
    """The checkpoint to train: given, of random weights, or the starter model."""
    if options.shape:
        from shapes import random_checkpoint

        return random_checkpoint(options.shape)
    if options.model:
        return Path(options.model)
    folders = sorted(models_home().iterdir()) if models_home().is_dir() else []
    if not folders:
        raise SystemExit("The starter model is not here yet: run make demo once, or give --model FOLDER")
    return folders[0]


def to_rows(chats: list[dict[str, Any]]) -> list[Row]:
    """Checked rows, numbered as lines."""
    return [
        Row(
            msgspec.convert(chat["prompt"], tuple[Message, ...]),
            msgspec.convert(chat["completion"], tuple[Message, ...]),
            chat["label"],
            line,
        )
        for line, chat in enumerate(chats, start=1)
    ]


def lora() -> LoraConfig:
    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def config(**changes: Any) -> KTOConfig:
    """The arguments both sides share; both get the same learning rate and label weights."""
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "learning_rate": 1e-4,
        "max_length": SETTINGS.max_length,
        "bf16": False,
        "gradient_checkpointing": False,
        "num_train_epochs": 1,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": SETTINGS.seed,
        "use_cpu": not torch.cuda.is_available(),
        "per_device_train_batch_size": SETTINGS.effective_batch,
    }
    return KTOConfig(**{**settings, **changes})


def dtype() -> torch.dtype:
    """bf16 where the hardware has it, as kto-tui chooses."""
    if torch.cuda.is_available():
        return torch.bfloat16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def load(folder: Path, number_format: torch.dtype) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=number_format, attn_implementation="sdpa")
    return model.to("cuda") if torch.cuda.is_available() else model


def plain_arguments(kind: str) -> tuple[torch.dtype, KTOConfig]:
    """TRL as its defaults are, or tuned: ``tuned-2`` is micro-batch 2 with 4 accumulation steps."""
    if kind == "default":
        return torch.float32, config(bf16=True, gradient_checkpointing=True)
    micro = int(kind.removeprefix("tuned-"))
    steps = SETTINGS.effective_batch // micro
    return dtype(), config(per_device_train_batch_size=micro, gradient_accumulation_steps=steps)


def exact(
    tokenizer: Any, model: Any, windows: Sequence[Window], rows: int, cache: str, **changes: Any
) -> ExactKTOTrainer:
    return ExactKTOTrainer(
        model=model,
        args=config(**changes),
        windows=windows,
        processing_class=tokenizer,
        peft_config=lora(),
        micro_batch=rows,
        reference=ReferenceCache(Path(cache) / "reference.jsonl" if cache else None),
        note=lambda text: print(text, file=sys.stderr),
    )


def choose(folder: Path, chats: list[dict[str, Any]], count: int) -> list[Row]:
    """The first ``count`` rows that need no cutting, in the order of kto-tui's windows, for both sides."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = to_rows(chats)
    prepared = prepare(rows, tokenizer, msgspec.structs.replace(SETTINGS, long_rows="skip"))
    lines = [row.line for window in prepared.windows for row in window][:count]
    return [rows[line - 1] for line in lines]


def timed_run(options: argparse.Namespace, chats: list[dict[str, Any]], kind: str, cache: str) -> dict[str, Any]:
    """Seconds from raw rows to the end of training, with the model loaded."""
    folder = model_folder(options)
    rows = choose(folder, chats, options.count)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ordered = [row for window in prepare(rows, tokenizer, SETTINGS).windows for row in window]
    in_order = [chats[row.line - 1] for row in ordered]
    phases: dict[str, float] = {}
    if kind.startswith("ours"):
        model = load(folder, dtype())
        begin = time.perf_counter()
        place = Path(cache) if cache else None
        windows = prepare(rows, tokenizer, SETTINGS, cache=place).windows
        trainer: Any = exact(tokenizer, model, windows, int(kind.removeprefix("ours-")), cache)
        phases["preparation"] = time.perf_counter() - begin
    else:
        number_format, trl_arguments = plain_arguments(kind)
        model = load(folder, number_format)
        begin = time.perf_counter()
        trainer = KTOTrainer(
            model=model,
            args=trl_arguments,
            train_dataset=Dataset.from_list(in_order),
            processing_class=tokenizer,
            peft_config=lora(),
        )
        phases["preparation"] = time.perf_counter() - begin
    trainer.remove_callback(PrinterCallback)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    if kind.startswith("ours"):
        phases |= dict(trainer.step.seconds)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    on_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "trl", "transformers", "peft")
    )
    device = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads of {processor()}"
    return {
        "seconds": round(seconds, 2),
        "tokens": sum(row.length for row in ordered),
        "row_count": len(ordered),
        "peak_bytes": peak,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "phases": {name: round(each, 2) for name, each in phases.items()},
        "machine": f"{device}, {str(dtype()).removeprefix('torch.')}, {versions}",
    }


def processor() -> str:
    """The processor's name and its matrix-relevant flags."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.split("\n\n", 1)[0].splitlines() if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    flags = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in named.get("flags", "").split()]
    return " ".join([named.get("model name", platform.machine()), *flags])
