"""The peak of a step's memory: traced at two depths, and extended to the model's own."""

from typing import Any
from unittest import mock

import msgspec
import torch
import transformers.integrations.sdpa_attention as sdpa
from torch._subclasses.fake_tensor import FakeTensorMode

from kto_tui.errors import UserError
from kto_tui.memory.trace import steps
from kto_tui.memory.trace.architectures import configuration, period
from kto_tui.memory.trace.ledger import Ledger, Peak
from kto_tui.memory.trace.model import build
from kto_tui.memory.trace.optimizers import optimizer, state_tensors
from kto_tui.memory.trace.quantised import hidden_tensors
from kto_tui.memory.trace.settings import Settings

MIB, GIB = 2**20, 2**30
STEPS = 2  # the second has the optimizer's state and the first one's leavings


class Prediction(msgspec.Struct, frozen=True):
    """Predicted peaks of allocated bytes: at the worst phase, its parts, and of every phase."""

    peak_bytes: int
    phase: str
    parts: dict[str, int]
    phases: dict[str, int]


def trace(settings: Settings, layers: int) -> dict[str, Peak]:
    """The peaks by phase of ``STEPS`` steps with so many layers.

    Raises:
        UserError: the model has no such layers, or its sizes fit no step.
    """
    try:
        return _trace(settings, layers)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"The sizes fit no step ({reason})", mend="Correct them", where="shape") from error


def _trace(settings: Settings, layers: int) -> dict[str, Peak]:
    def grouped(*_: object) -> bool:  # a Mock with a return value would keep what it is called with, and so the keys
        return not settings.kv_repeated_in_sdpa

    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(sdpa, "use_gqa_in_sdpa", grouped),
        steps.in_place_head(),
        steps.autocast_seen(),
        steps.fused_softmax(),
    ):
        model = build(settings, layers, steps.prepare)
        ledger = Ledger()
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        ledger.hold([p for p in model.parameters() if not p.requires_grad], "weights")
        ledger.hold([*model.buffers(), *hidden_tensors(model)], "weights")
        ledger.hold(learning, "adapter" if settings.adapter == "lora" else "weights")
        made = optimizer(settings, learning)
        with ledger:
            for _ in range(STEPS):
                _step(model, settings, ledger, learning, made)
    return dict(ledger.peaks)


def _step(
    model: Any,  # noqa: ANN401
    settings: Settings,
    ledger: Ledger,
    learning: list[torch.Tensor],
    made: torch.optim.Optimizer,
) -> None:
    to_none, before = settings.zero_grad.startswith("to none"), settings.zero_grad.endswith("before the forward")
    if before:
        made.zero_grad(set_to_none=to_none)
    loss, _held = steps.loss(model, settings, ledger)
    ledger.phase = "backward"
    loss.backward()
    ledger.hold([p.grad for p in learning if p.grad is not None], "gradients")
    ledger.phase = "optimizer"
    made.step()
    ledger.hold(state_tensors(made), "optimizer")
    if not before:
        made.zero_grad(set_to_none=to_none)


def _line(low: float, high: float, depths: tuple[int, int], layers: int) -> int:
    return round(low + (high - low) * (layers - depths[0]) / (depths[1] - depths[0]))


def predict(settings: Settings) -> Prediction:
    """The peak of a step.

    Layers that are alike need the same memory each, so that a phase's peak grows by the same amount with each: the
    depths 2 and 4 (in periods of layers) say what the full depth needs. A shallower model is traced as it is.
    """
    layers = settings.shape.num_hidden_layers
    every = period(configuration(settings.shape.architecture, settings.shape.values()))
    depths = (2 * every, 4 * every)
    if layers <= depths[1]:
        depths = (layers, layers)
    low = trace(settings, depths[0])
    high = low if depths[0] == depths[1] else trace(settings, depths[1])
    workspace = round(settings.workspace_mib * MIB)
    span = depths if depths[0] != depths[1] else (0, layers)
    phases = {name: _line(low[name].total, high[name].total, span, layers) + workspace for name in high}
    worst = max(phases, key=phases.__getitem__)
    names = low[worst].parts.keys() | high[worst].parts.keys()
    parts = {n: _line(low[worst].parts.get(n, 0), high[worst].parts.get(n, 0), span, layers) for n in sorted(names)}
    return Prediction(phases[worst], worst, parts | {"workspace": workspace}, phases)
