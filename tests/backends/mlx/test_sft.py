"""SFT under MLX has the loss and the gradients of Transformers and PEFT, with LoRA and DoRA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from kto_tui.data.prepare import Window
from tests.backends.mlx.conftest import copy_adapters, disturb
from tests.backends.mlx.trainings import (
    RECIPE,
    SETTINGS,
    mlx_model,
    mlx_trainer,
    random_windows,
    relative,
    take_steps,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def loss_and_gradients(model: Any, window: Window, *, completion_only: bool) -> tuple[float, dict[str, Any]]:
    """Transformers' own mean over the scored tokens of a padded batch."""
    width = max(row.length for row in window)
    ids, labels = torch.zeros(len(window), width, dtype=torch.long), torch.full((len(window), width), -100)
    mask = torch.zeros(len(window), width, dtype=torch.long)
    for index, row in enumerate(window):
        whole = torch.tensor([*row.prompt_ids, *row.completion_ids])
        ids[index, : row.length], mask[index, : row.length] = whole, 1
        first = len(row.prompt_ids) if completion_only else 0
        labels[index, first : row.length] = whole[first:]
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    return float(loss.detach()), {n: p.grad.numpy().copy() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("use_dora", [False, True], ids=["LoRA", "DoRA"])
@pytest.mark.parametrize("completion_only", [True, False], ids=["completions", "all tokens"])
def test_it_is_transformers_loss(checkpoint: Callable[..., Path], use_dora: bool, completion_only: bool) -> None:
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", use_dora=use_dora)
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(checkpoint(), dtype=torch.float32), config)
    disturb(peft)
    recipe = msgspec.structs.replace(
        RECIPE, method="sft", use_dora=use_dora, completion_only_loss=completion_only, micro_batch=3
    )
    model = mlx_model(checkpoint(), recipe)
    copy_adapters(peft, model)
    windows = random_windows(2)
    loss, gradients = loss_and_gradients(peft, windows[0], completion_only=completion_only)
    [found] = take_steps(mlx_trainer(model, windows, recipe), 1)
    assert found.loss == pytest.approx(loss, abs=5e-6)
    assert relative(gradients, found.gradients) < 1e-3


def test_kto_on_dora_has_its_base_as_reference(checkpoint: Callable[..., Path]) -> None:
    recipe = msgspec.structs.replace(RECIPE, use_dora=True, learning_rate=2e-2)
    trainer = mlx_trainer(mlx_model(checkpoint(), recipe), random_windows(2), recipe)
    steps = take_steps(trainer, 8)
    # Before the first update policy and reference are one, so the loss is half the mean weight.
    labels = np.array([row.label for row in trainer.windows[0]])
    half = np.where(labels, SETTINGS.desirable_weight, SETTINGS.undesirable_weight).mean() / 2
    assert steps[0].loss == pytest.approx(half, abs=1e-5)
    assert steps[-2].loss < steps[0].loss - 0.01
    assert any("magnitude" in name and np.abs(each).max() > 0 for name, each in steps[1].gradients.items())
