"""Training steps as published measurements run them: a raw SFT loop, and TRL's KTO step."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import trl.kernels.chunked_logprob as trl_head
from torch.nn import functional
from trl.trainer.utils import add_fused_lm_head

from kto_tui.memory.trace.ledger import Ledger
from kto_tui.memory.trace.model import DTYPES
from kto_tui.memory.trace.settings import Settings

Scored = tuple[torch.Tensor, Any]


def sft_loss(model: Any, settings: Settings, ledger: Ledger) -> Scored:  # noqa: ANN401
    """The model's own loss over full logits, every token a label."""
    ids = torch.zeros(settings.batch, settings.seq_len, dtype=torch.long)
    ledger.phase = "forward"
    out = model(input_ids=ids, labels=ids)
    return out.loss, out


@contextlib.contextmanager
def in_place_head() -> Iterator[None]:
    """On CUDA, TRL folds each tile of logits in place and adds up products in float32 without a copy.

    Its fallback for devices without Triton would be counted instead.
    """

    def folded(*_: Any, **__: Any) -> None:  # noqa: ANN401
        return None

    with contextlib.ExitStack() as stack:
        for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
            stack.enter_context(mock.patch.object(trl_head, name, folded))
        yield


@contextlib.contextmanager
def autocast_seen() -> Iterator[None]:
    """PEFT asks whether autocast is on without naming a device, and means CUDA; traces are on the CPU."""
    asked = torch.is_autocast_enabled
    with mock.patch.object(torch, "is_autocast_enabled", lambda kind="cpu": asked(kind)):
        yield


@contextlib.contextmanager
def fused_softmax() -> Iterator[None]:
    """On CUDA, softmax from float16 to float32 converts inside its kernel (aten/src/ATen/native/SoftMax.cpp)."""
    plain = functional.softmax

    def softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None, **options: Any) -> torch.Tensor:  # noqa: ANN401
        if x.dtype == torch.float16 and dtype == torch.float32:
            return torch._softmax(x, dim, True)  # noqa: SLF001
        return plain(x, dim=dim, dtype=dtype, **options)

    with mock.patch.object(functional, "softmax", softmax):
        yield


def kto_loss(model: Any, settings: Settings, ledger: Ledger) -> Scored:  # noqa: ANN401
    """``trl.KTOTrainer._compute_loss`` of TRL 1.16: KL pass, policy, both again under the reference (adapters off)."""
    batch, length = settings.batch, settings.seq_len
    ids = torch.zeros(batch, length, dtype=torch.long)
    mask = torch.ones_like(ids)

    def score() -> torch.Tensor:
        out = model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False, fused_lm_head=True)
        summed: torch.Tensor = out.log_probs.sum(-1)
        return summed

    ledger.phase = "kl"
    with torch.no_grad():
        mismatched = score()
    ledger.phase = "forward"
    matched = score()
    ledger.phase = "reference"
    with torch.no_grad(), model.disable_adapter():
        reference_mismatched, reference = score(), score()
    ledger.phase = "loss"
    z = (mismatched - reference_mismatched).mean().clamp(min=0)
    return (1 - functional.sigmoid(matched - reference - z)).mean(), None


def prepare(model: Any, settings: Settings) -> None:  # noqa: ANN401
    """Give the base model what the loop needs of it."""
    if settings.loop == "kto":
        add_fused_lm_head(model)


def loss(model: Any, settings: Settings, ledger: Ledger) -> Scored:  # noqa: ANN401
    """The loss of one step, with gradient, and what the loop holds on to until its end: a raw loop's logits."""
    autocast = settings.autocast
    with torch.autocast("cpu", dtype=DTYPES[autocast] if autocast else torch.bfloat16, enabled=autocast is not None):
        return (sft_loss if settings.loop == "sft" else kto_loss)(model, settings, ledger)
