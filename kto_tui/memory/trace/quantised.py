"""bitsandbytes' quantised linear layers as far as memory is concerned, for fake tensors.

The real kernels take pointers, which fake tensors do not have. What they allocate is written out here after
bitsandbytes 0.50: ``autograd/_functions.py`` (``MatMul4Bit``, ``MatMul8bitLt``) and ``nn/modules.py``.
"""

from typing import Any

import bitsandbytes as bnb
import torch
from torch import nn
from torch.nn import functional

# bitsandbytes' defaults: weights per absmax, and absmax per absmax of the absmax (double quantisation).
BLOCK, SECOND_BLOCK = 64, 256


class _Dequantised(torch.autograd.Function):  # type: ignore[misc]
    """x W^T with W dequantised for each product, in both directions."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: torch.Tensor,
        shape: tuple[int, int],
        bias: torch.Tensor | None,
        nested: int,
    ) -> torch.Tensor:
        ctx.shape, ctx.nested = shape, nested
        return functional.linear(x, _dequantised(x, shape, nested), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        gradient = gradients[0]
        return torch.matmul(gradient, _dequantised(gradient, ctx.shape, ctx.nested)), None, None, None


def _dequantised(like: torch.Tensor, shape: tuple[int, int], nested: int) -> torch.Tensor:
    if nested:  # the absmax come first, as float32
        like.new_empty(nested, dtype=torch.float32)
    return like.new_empty(shape)


class FakeLinear4bit(bnb.nn.Linear4bit):  # type: ignore[misc]
    """``bitsandbytes.nn.Linear4bit`` with NF4 weights; PEFT takes it for the real one."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, *, double_quant: bool) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        count = linear.weight.numel()
        self.weight = nn.Parameter(linear.weight.new_empty(-(-count // 2), 1, dtype=torch.uint8), requires_grad=False)
        self.weight.compress_statistics, self.weight.quant_type = double_quant, "nf4"
        blocks = -(-count // BLOCK)
        self.absmax = linear.weight.new_empty(blocks, dtype=torch.uint8 if double_quant else torch.float32)
        second = -(-blocks // SECOND_BLOCK) if double_quant else 0
        self.second_absmax = linear.weight.new_empty(second, dtype=torch.float32)
        self.bias = linear.bias
        self.compute_dtype = dtype
        self._nested = blocks if double_quant else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (..., in_features) to (..., out_features), in x's dtype."""
        bias = None if self.bias is None else self.bias.to(self.compute_dtype)
        shape = (self.out_features, self.in_features)
        out: torch.Tensor = _Dequantised.apply(x.to(self.compute_dtype), shape, bias, self._nested)
        return out.to(x.dtype)


class _Int8(torch.autograd.Function):  # type: ignore[misc]
    """LLM.int8() (arXiv:2208.07339) without outliers: int8 products, then float16; W dequantised for backward."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        flat.to(torch.float16).new_empty(flat.shape, dtype=torch.int8)
        flat.new_empty(len(flat), weight.shape[0], dtype=torch.int32)
        out = flat.new_empty(len(flat), weight.shape[0])
        ctx.kept, ctx.weight = flat, weight
        return (out if bias is None else out + bias).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        gradient = gradients[0]
        return torch.matmul(gradient.to(ctx.kept.dtype), ctx.weight.to(ctx.kept.dtype)), None, None


class FakeLinear8bit(bnb.nn.Linear8bitLt):  # type: ignore[misc]
    """``bitsandbytes.nn.Linear8bitLt`` with int8 weights and one float32 scale per row."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.new_empty(linear.weight.shape, dtype=torch.int8), requires_grad=False)
        self.scales = linear.weight.new_empty(linear.out_features, dtype=torch.float32)
        self.bias = linear.bias
        self.state = bnb.MatmulLtState()
        self.state.threshold, self.state.has_fp16_weights = 6.0, False
        self.index = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (..., in_features) to (..., out_features), in x's dtype."""
        out: torch.Tensor = _Int8.apply(x, self.weight, None if self.bias is None else self.bias.to(x.dtype))
        return out


def quantise(model: nn.Module, dtype: torch.dtype, kind: str, *, double_quant: bool) -> None:
    """Replace every linear layer of ``model`` but its head, as Transformers' bitsandbytes loaders do."""
    for name, module in list(model.named_modules()):
        if type(module) is not nn.Linear or module is model.get_output_embeddings():
            continue
        if kind == "nf4":
            quantised: nn.Module = FakeLinear4bit(module, dtype, double_quant=double_quant)
        else:
            quantised = FakeLinear8bit(module)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, quantised)
    setattr(model, "is_loaded_in_4bit" if kind == "nf4" else "is_loaded_in_8bit", True)


def hidden_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Tensors of quantised layers that are neither parameters nor buffers."""
    found: list[torch.Tensor] = []
    for module in model.modules():
        if isinstance(module, FakeLinear4bit):
            found += [module.absmax, module.second_absmax]
        elif isinstance(module, FakeLinear8bit):
            found.append(module.scales)
    return found
