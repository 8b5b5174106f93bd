"""Trainings of tiny random models under MLX beside the real trainers of TRL, from the same adapters."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
import torch

from kto_tui.backends.mlx.lora import adapted


@pytest.fixture
def interpreted() -> Iterator[None]:
    """Each of MLX's fused functions would be compiled by a C++ compiler, for many seconds."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def disturb(model: Any, seed: int = 0, deviation: float = 0.05) -> None:
    """Give every B of a PEFT model values: the policy is no longer the reference, and its KL not 0."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, abs(deviation)).mul_(1 if deviation > 0 else -1)


def copy_adapters(peft: Any, model: Any) -> None:
    """Put a PEFT model's adapters into a model of mlx-lm."""
    values = {name: each.detach().numpy() for name, each in peft.named_parameters() if each.requires_grad}
    for name, layer in adapted(model):
        prefix = f"base_model.model.{name}"
        layer.lora_a = mx.array(values[f"{prefix}.lora_A.default.weight"].T)
        layer.lora_b = mx.array(values[f"{prefix}.lora_B.default.weight"].T)
        if f"{prefix}.lora_magnitude_vector.default.weight" in values:
            layer.m = mx.array(values[f"{prefix}.lora_magnitude_vector.default.weight"])
