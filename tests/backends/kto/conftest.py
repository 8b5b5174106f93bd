"""Tiny random models of several architectures, and trainings that record every step's loss and gradients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from trl import KTOConfig, KTOTrainer

from kto_tui.backends.hf.kto.trainer import ExactKTOTrainer
from kto_tui.data.prepare import Prepared, Settings, prepare
from kto_tui.data.rows import Message, Row
from tests.tiny import make_rows


class Bench:
    """One model, one set of rows, and the trainings on them."""

    def __init__(
        self, folder: Path, output: Path, *, rows: int = 44, answers: int = 1, chat: bool = True, kl: bool = True
    ) -> None:
        self.folder = folder
        self.output = output
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        records = make_rows(rows, chat=chat)
        for index, each in enumerate(records):  # ``answers`` rows in a row share one prompt
            each["prompt"] = records[index - index % answers]["prompt"]
        self.rows = [
            Row(
                msgspec.convert(record["prompt"], tuple[Message, ...]) if chat else str(record["prompt"]),
                msgspec.convert(record["completion"], tuple[Message, ...]) if chat else str(record["completion"]),
                bool(record["label"]),
                line,
            )
            for line, record in enumerate(records, start=1)
        ]
        settings = Settings(max_length=48, effective_batch=8, seed=3, kl=kl)
        self.prepared: Prepared = prepare(self.rows, self.tokenizer, settings)

    def model(self, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=dtype, **options)

    def arguments(self, **changes: Any) -> KTOConfig:
        values: dict[str, Any] = {
            "output_dir": str(self.output),
            "per_device_train_batch_size": 8,
            "learning_rate": 5e-3,
            "lr_scheduler_type": "constant",
            "max_length": 48,
            "num_train_epochs": 3,
            "bf16": False,
            "gradient_checkpointing": False,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "desirable_weight": 1.3,
            "undesirable_weight": 0.8,
        }
        return KTOConfig(**{**values, **changes})

    def plain(self, **changes: Any) -> KTOTrainer:
        """TRL's own trainer on the rows in our order: one window is one batch."""
        by_line = {row.line: row for row in self.rows}
        ordered = [by_line[row.line] for window in self.prepared.windows for row in window]
        records = [
            {
                "prompt": msgspec.to_builtins(row.prompt),
                "completion": msgspec.to_builtins(row.completion),
                "label": row.label,
            }
            for row in ordered
        ]
        return KTOTrainer(
            model=self.model(),
            args=self.arguments(**changes),
            train_dataset=Dataset.from_list(records),
            processing_class=self.tokenizer,
            peft_config=lora(),
        )

    def exact(self, micro_batch: int = 8, *, model: Any = None, **options: Any) -> ExactKTOTrainer:
        changes = options.pop("arguments", {})
        options.setdefault("peft_config", lora())
        return ExactKTOTrainer(
            model=self.model() if model is None else model,
            args=self.arguments(**changes),
            windows=options.pop("windows", self.prepared.windows),
            processing_class=self.tokenizer,
            micro_batch=micro_batch,
            **options,
        )


def lora(**changes: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **changes})


@pytest.fixture
def bench(checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Bench]:
    def build(kind: str = "llama", **options: Any) -> Bench:
        return Bench(checkpoint(kind), tmp_path / "out", **options)

    return build


class Step(msgspec.Struct):
    loss: float
    gradient: torch.Tensor
    logs: dict[str, float]


def record(trainer: Any, **train_options: Any) -> list[Step]:
    """Train, and return every step."""
    steps: list[tuple[float, torch.Tensor]] = []
    original = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = original(*args, **kwargs)
        gradients = [p.grad.detach().float().flatten() for p in trainer.model.parameters() if p.grad is not None]
        steps.append((float(loss), torch.cat(gradients).clone()))
        return loss

    trainer.training_step = training_step
    trainer.train(**train_options)
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [Step(loss, gradient, log) for (loss, gradient), log in zip(steps, logs[-len(steps) :], strict=True)]


LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 2e-5
COMPARED = ("kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected")


def assert_equal_steps(left: list[Step], right: list[Step], *, gradient_tolerance: float = GRADIENT_TOLERANCE) -> None:
    assert len(left) == len(right) > 0
    for number, (one, other) in enumerate(zip(left, right, strict=True)):
        assert abs(one.loss - other.loss) < LOSS_TOLERANCE, number
        distance = float((one.gradient - other.gradient).norm() / one.gradient.norm())
        assert distance < gradient_tolerance, (number, distance)
        for name in COMPARED:
            if name in one.logs:
                assert one.logs[name] == pytest.approx(other.logs[name], rel=1e-4, abs=2e-4), (number, name)
