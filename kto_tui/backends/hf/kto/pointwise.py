"""RMS norms and gated MLPs that keep their inputs for the backward pass and nothing else.

Written out in PyTorch's operations, a norm keeps its input in float32 twice and a gated MLP keeps four tensors of its
width. What is kept is memory that each step touches anew, which on CPUs costs more time than the arithmetic.
"""

import types
from typing import Any

import torch
from torch.nn import functional

# Transformers' modules that compute weight * (x / rms(x)) with the quotient rounded to x's dtype, and
# down(silu(gate(x)) * up(x)). Others, such as Gemma's, keep their own forward.
_NORMS = frozenset({"LlamaRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "MistralRMSNorm", "SmolLM3RMSNorm", "Phi3RMSNorm"})
_MLPS = frozenset({"LlamaMLP", "Qwen2MLP", "Qwen3MLP", "MistralMLP", "SmolLM3MLP"})


class _RmsNorm(torch.autograd.Function):  # type: ignore[misc]
    """w * x / sqrt(mean(x^2) + eps) (arXiv:1910.07467) over the last dimension."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
    ) -> torch.Tensor:
        wide = x.float()
        inverse = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        wide = wide * inverse if wide is x else wide.mul_(inverse)
        ctx.save_for_backward(x, weight, inverse)
        return weight * wide.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        x, weight, inverse = ctx.saved_tensors
        gradient = gradients[0]
        normed = x.float() * inverse
        slope = (gradient * weight).float()
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = (gradient.float() * normed).flatten(0, -2).sum(0).to(weight.dtype)
        along = (slope * normed).mean(-1, keepdim=True)
        d_x = slope.addcmul_(normed, along, value=-1).mul_(inverse).to(x.dtype)
        return d_x, d_weight, None


class _GatedSilu(torch.autograd.Function):  # type: ignore[misc]
    """silu(gate) * up (arXiv:2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        gate, up = ctx.saved_tensors
        d_gate = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return d_gate, functional.silu(gate).mul_(gradients[0])


def _norm_forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    normed: torch.Tensor = _RmsNorm.apply(hidden_states, self.weight, self.variance_epsilon)
    return normed


def _mlp_forward(self: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    product: torch.Tensor = self.down_proj(_GatedSilu.apply(self.gate_proj(x), self.up_proj(x)))
    return product


def fuse_pointwise(model: torch.nn.Module) -> int:
    """Replace the forward of every norm and MLP of ``model`` that is written out here; returns how many."""
    count = 0
    for module in model.modules():
        name = type(module).__name__
        if name in _NORMS:
            module.forward = types.MethodType(_norm_forward, module)
        elif name in _MLPS and type(module.act_fn).__name__ in {"SiLU", "SiLUActivation"}:
            module.forward = types.MethodType(_mlp_forward, module)
        else:
            continue
        count += 1
    return count
