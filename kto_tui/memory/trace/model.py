"""A causal language model with its adapter, on fake tensors: every shape and dtype real, no memory behind them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.initialization import no_init_weights

from kto_tui.errors import UserError
from kto_tui.memory.trace.architectures import configuration
from kto_tui.memory.trace.quantised import quantise
from kto_tui.memory.trace.settings import Settings, Shape

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextlib.contextmanager
def _modules_stay() -> Iterator[None]:
    """PEFT moves fresh adapters with ``.to()``, which swaps parameters; fake ones cannot be swapped."""
    with mock.patch.object(nn.Module, "_apply", lambda self, *_, **__: self):
        yield


def base_model(
    shape: Shape,
    layers: int,
    dtype: torch.dtype,
    *,
    attention: str | None,
    kind: str = "none",
    double_quant: bool = False,
) -> Any:  # noqa: ANN401 - any architecture
    """The base model with so many layers, quantised or not; call it under a FakeTensorMode."""
    config = configuration(shape.architecture, shape.values(layers) | {"use_cache": False})
    try:
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    except ValueError as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        what = f"Transformers makes no {shape.architecture} with {attention} attention ({reason})"
        raise UserError(what, mend="Name another attention", where="attention") from error
    model.tie_weights()
    if kind != "none":
        quantise(model, dtype, kind, double_quant=double_quant)
    return model


def add_lora(model: Any, rank: int, targets: Sequence[str], dtype: torch.dtype) -> Any:  # noqa: ANN401
    """``model`` under a LoRA adapter in ``dtype``; the base is frozen.

    Raises:
        UserError: the model has no layers of those names.
    """
    try:
        with _modules_stay():
            wrapped = get_peft_model(
                model,
                LoraConfig(
                    r=rank, target_modules=targets if isinstance(targets, str) else list(targets), task_type="CAUSAL_LM"
                ),
                autocast_adapter_dtype=False,
            )
    except ValueError as error:
        raise UserError(
            f"No such LoRA targets: {targets}", mend="Name linear layers of the model", where="targets"
        ) from error
    for name, parameter in wrapped.named_parameters():
        adapter = "lora_" in name
        parameter.requires_grad_(adapter)
        if adapter:
            parameter.data = torch.empty_like(parameter, dtype=dtype)
    return wrapped


def upcast(model: nn.Module) -> None:
    """``peft.prepare_model_for_kbit_training``: every 16-bit parameter becomes float32."""
    for parameter in model.parameters():
        if parameter.dtype in {torch.float16, torch.bfloat16}:
            parameter.data = parameter.data.float()


def build(settings: Settings, layers: int, prepare: Callable[[Any, Settings], None]) -> Any:  # noqa: ANN401
    """The model of ``settings`` with so many layers, ready to train; call it under a FakeTensorMode.

    ``prepare`` gets the base model before it is wrapped in its adapter.
    """
    model = base_model(
        settings.shape,
        layers,
        DTYPES[settings.weights_dtype],
        attention=settings.attention,
        kind=settings.quantization,
        double_quant=settings.double_quant,
    )
    if settings.kbit_upcast:
        upcast(model)
    prepare(model, settings)
    if settings.adapter == "lora":
        dtype = DTYPES[settings.adapter_dtype or "float32"]
        model = add_lora(model, settings.rank or 0, settings.targets or "all-linear", dtype)
    if settings.gradient_checkpointing:
        # As trl.KTOTrainer sets it; raw loops of the time took Transformers' default.
        model.gradient_checkpointing_enable({"use_reentrant": settings.loop == "sft"})
        if settings.adapter == "lora":
            model.enable_input_require_grads()
    return model.train()
