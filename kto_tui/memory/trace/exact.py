"""One window of kto-tui's own KTO step on fake tensors: the very code that trains, with nothing behind the numbers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal
from unittest import mock

import msgspec
import torch
from accelerate.utils import convert_outputs_to_fp32
from peft.tuners.lora import LoraLayer
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import add_fused_lm_head

from kto_tui.backends.hf.kto import head, layout
from kto_tui.backends.hf.kto.architectures import why_plain
from kto_tui.backends.hf.kto.lora import fuse_lora
from kto_tui.backends.hf.kto.scorer import PackedScorer, PaddedScorer, install_packs
from kto_tui.backends.hf.kto.step import WITH_CHECKPOINTING, WITHOUT_GRADIENT, KtoStep
from kto_tui.backends.training.reference import ReferenceCache, WindowReference
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.memory.trace.ledger import Ledger
from kto_tui.memory.trace.model import DTYPES, add_lora, base_model
from kto_tui.memory.trace.optimizers import state_tensors
from kto_tui.memory.trace.quantised import hidden_tensors
from kto_tui.memory.trace.settings import Shape
from kto_tui.memory.trace.steps import autocast_seen, in_place_head
from kto_tui.methods.kto_loss import LossSettings

CPU = torch.device("cpu")


class ExactSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One window: ``effective_batch`` rows of ``length`` tokens, ``scored`` of them the completion's.

    ``accelerator``: the forms of the step that GPUs get; ``autocast``: mixed precision in ``dtype``, as the Trainer
    runs 16 bits on CUDA. Quantised weights are NF4 with double quantisation.
    """

    shape: Shape
    accelerator: bool
    dtype: Literal["float32", "bfloat16", "float16"]
    autocast: bool = False
    quantised: bool = False
    checkpointing: bool = False
    kl: bool = True
    rank: int = 16
    targets: Sequence[str] = "all-linear"
    effective_batch: int = 16
    micro_batch: int = 4
    length: int = 1024
    scored: int = 512


class _Phases:
    """A scorer that tells the ledger which pass it is asked for."""

    def __init__(self, scorer: Any, ledger: Ledger) -> None:  # noqa: ANN401
        self._scorer, self._ledger = scorer, ledger
        self.model, self.shares_prompts = scorer.model, scorer.shares_prompts
        self.reference = False

    def matched(self, rows: Any, *, keep: bool = False) -> Any:  # noqa: ANN401
        """See ``Scorer``."""
        self._ledger.phase = "reference" if self.reference else "forward"
        return self._scorer.matched(rows, keep=keep)

    def mismatched(self, rows: Any, shared: Any = None) -> Any:  # noqa: ANN401
        """See ``Scorer``."""
        self._ledger.phase = "reference kl" if self.reference else "kl"
        return self._scorer.mismatched(rows, shared)


def rows_of(settings: ExactSettings) -> tuple[PreparedRow, ...]:
    """Rows of the settings' lengths that share nothing with each other."""
    prompt, scored = settings.length - settings.scored, settings.scored
    return tuple(
        PreparedRow(i, i % 2 == 0, (i + 1, *[0] * (prompt - 1)), (i + 1,) * scored, (-1 - i,) * scored)
        for i in range(settings.effective_batch)
    )


def _known(settings: ExactSettings) -> WindowReference:
    """Reference scores of the window, cut as the step will cut it."""
    scores = (0.0,) * settings.effective_batch
    cuts = packs([settings.length] * settings.effective_batch, max_rows=settings.micro_batch)
    return WindowReference(0, tuple(map(len, cuts)), scores, scores if settings.kl else ())


@contextlib.contextmanager
def _faked(settings: ExactSettings) -> Iterator[None]:
    grow = layout.PrefixTree.grow

    def grown(self: Any, pairs: Any) -> Any:  # noqa: ANN401 - indices are read as numbers, so they must be real
        with unset_fake_temporarily():
            return grow(self, pairs)

    with (
        mock.patch.object(layout.PrefixTree, "grow", grown),
        mock.patch.object(layout, "on_cpu", return_value=not settings.accelerator),
        mock.patch.object(FakeTensor, "tolist", lambda scores: [0.0] * scores.numel()),
        in_place_head() if settings.accelerator and settings.autocast else contextlib.nullcontext(),
        autocast_seen(),
        FakeTensorMode(allow_non_fake_inputs=True),
    ):
        head._scratch.clear()  # noqa: SLF001 - a trace starts without it
        try:
            yield
        finally:
            head._scratch.clear()  # noqa: SLF001


def _build(settings: ExactSettings, layers: int) -> tuple[Any, bool]:
    dtype = DTYPES[settings.dtype]
    attention = None if settings.accelerator else "eager"
    kind = "nf4" if settings.quantised else "none"
    model = base_model(settings.shape, layers, dtype, attention=attention, kind=kind, double_quant=True)
    packed = why_plain(model.config, settings.length) is None
    if packed:
        install_packs(model)
    else:
        add_fused_lm_head(model)
    # TRL gives quantised models bf16 adapters, kto-tui float32 ones under fp16; PEFT float32 ones to all others.
    narrow = settings.quantised and settings.dtype != "float16"
    model = add_lora(model, settings.rank, settings.targets, torch.bfloat16 if narrow else torch.float32)
    for module in model.modules():
        if isinstance(module, LoraLayer):  # what PEFT's own casting, which fake tensors cannot do, would have left
            module.cast_input_dtype_enabled = True
    if settings.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if packed:
        fuse_lora(model)
    if settings.autocast:
        # accelerate.Accelerator.prepare_model
        forward = torch.autocast("cpu", dtype=dtype)(model.forward)
        model.forward = convert_outputs_to_fp32(forward)
    return model.train(), packed


@contextlib.contextmanager
def _reference(model: Any, phases: _Phases) -> Iterator[None]:  # noqa: ANN401
    base = model.get_base_model()
    phases.reference = True
    with disable_gradient_checkpointing(base, {"use_reentrant": False}), model.disable_adapter():
        yield
    phases.reference = False


def run(
    settings: ExactSettings,
    layers: int,
    ledger: Ledger,
    *,
    steps: int = 2,
    reference: bool = True,
    begin: Callable[[Any], None] = lambda _model: None,
) -> None:
    """Train ``steps`` windows with so many layers.

    Args:
        settings: of the windows.
        layers: of the model.
        ledger: that counts.
        steps: how many windows.
        reference: whether the reference is scored; a later epoch has its scores.
        begin: called with the model before the first window.
    """
    with _faked(settings):
        model, packed = _build(settings, layers)
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        ledger.hold([p for p in model.parameters() if not p.requires_grad], "weights")
        ledger.hold([*model.buffers(), *hidden_tensors(model)], "weights")
        ledger.hold(learning, "adapter")
        made = torch.optim.AdamW(learning, lr=1e-4, foreach=settings.accelerator)
        scorer = PackedScorer(model, CPU) if packed else PaddedScorer(model, CPU, 0)
        phases = _Phases(scorer, ledger)
        cache = ReferenceCache()
        if not reference:
            cache.put(_known(settings))
        step = KtoStep(
            phases,
            LossSettings(0.1, "kto" if settings.kl else "apo_zero_unpaired", 1.0, 1.0),
            reference_model=lambda: _reference(model, phases),
            cache=cache,
            micro_batch=settings.micro_batch,
            add_up=lambda value: value,
            device=CPU,
            room=WITH_CHECKPOINTING if settings.checkpointing else WITHOUT_GRADIENT,
        )
        share = Share(None if reference else 0, rows_of(settings), settings.effective_batch)
        begin(model)
        with ledger:
            for _ in range(steps):
                _train(step, share, ledger, learning, made)


def _train(
    step: KtoStep, share: Share, ledger: Ledger, learning: list[torch.Tensor], made: torch.optim.Optimizer
) -> None:
    def backward(loss: torch.Tensor) -> None:
        ledger.phase = "backward"
        loss.backward()
        ledger.hold([p.grad for p in learning if p.grad is not None], "gradients")

    step.run(share, backward)
    ledger.phase = "optimizer"
    made.step()
    ledger.hold(state_tensors(made), "optimizer")
    made.zero_grad(set_to_none=True)
