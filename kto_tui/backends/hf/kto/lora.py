"""LoRA linear layers as one autograd function: nothing is kept for the backward pass but the layer's own input."""

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch.nn import functional


class _LowRankLinear(torch.autograd.Function):  # type: ignore[misc]
    """x W^T + b + s (x A^T) B^T (arXiv:2106.09685) with W and b frozen; A and B are cast to the input's dtype."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        cast_down: torch.Tensor,
        cast_up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        output = functional.linear(x, weight, bias)
        narrow = x @ cast_down.t()
        output.addmm_(narrow, cast_up.t(), alpha=scaling)
        ctx.save_for_backward(x, weight, cast_down, cast_up, narrow)
        ctx.options = (scaling, down.dtype, up.dtype)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        x, weight, down, up, narrow = ctx.saved_tensors
        scaling, down_dtype, up_dtype = ctx.options
        gradient = gradients[0]
        if not gradient.is_contiguous():
            gradient = gradient.contiguous()
        d_narrow = (gradient @ up).mul_(scaling)
        d_up = (gradient.t() @ narrow).mul_(scaling).to(up_dtype)
        d_down = (d_narrow.t() @ x).to(down_dtype)
        d_x = (gradient @ weight).addmm_(d_narrow, down) if ctx.needs_input_grad[0] else None
        return d_x, None, None, d_down, d_up, None, None, None


_casts: dict[tuple[int, torch.dtype], torch.Tensor] | None = None


@contextlib.contextmanager
def unchanging_adapters() -> Iterator[None]:
    """Inside, adapters do not change, so each is cast to the input's dtype once and not in every pass."""
    global _casts  # noqa: PLW0603 - the layers that look it up are called by the model, not by us
    outer, _casts = _casts, {}
    try:
        yield
    finally:
        _casts = outer


def _cast(parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if parameter.dtype == dtype:
        return parameter.detach()
    if _casts is None:
        return parameter.detach().to(dtype)
    key = (id(parameter), dtype)
    if key not in _casts:
        _casts[key] = parameter.detach().to(dtype)
    return _casts[key]


def _suits(layer: LoraLinear) -> bool:
    """Plain LoRA on a frozen, unquantised linear layer: the case the fused function computes."""
    base = layer.get_base_layer()
    adapters = layer.active_adapters
    if type(layer) is not LoraLinear or type(base) is not torch.nn.Linear or len(adapters) != 1:
        return False
    name = adapters[0]
    if name not in layer.lora_A or base.weight.requires_grad or layer.lora_A[name].bias is not None:
        return False
    return (
        layer.lora_B[name].bias is None
        and not layer.lora_variant.get(name)
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
    )


def _fused_forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401
    base = self.get_base_layer()
    unfused: torch.Tensor
    if self.merged or args or kwargs or x.dtype != base.weight.dtype or torch.is_autocast_enabled(x.device.type):
        unfused = LoraLinear.forward(self, x, *args, **kwargs)
        return unfused
    flat = x.reshape(-1, x.shape[-1])
    if self.disable_adapters:
        return functional.linear(flat, base.weight, base.bias).view(*x.shape[:-1], -1)
    name = self.active_adapters[0]
    down, up = self.lora_A[name].weight, self.lora_B[name].weight
    fused: torch.Tensor = _LowRankLinear.apply(
        flat, base.weight, base.bias, down, up, _cast(down, x.dtype), _cast(up, x.dtype), self.scaling[name]
    )
    return fused.view(*x.shape[:-1], -1)


def fuse_lora(model: torch.nn.Module) -> int:
    """Replace the forward of every LoRA layer of ``model`` that the fused function computes; returns how many."""
    layers = [module for module in model.modules() if isinstance(module, LoraLinear) and _suits(module)]
    for layer in layers:
        layer.forward = types.MethodType(_fused_forward, layer)
    return len(layers)
