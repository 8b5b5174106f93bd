"""What is alive at every moment of a step, as polynomials in the step's sizes."""

from collections import defaultdict
from typing import Any

import msgspec
import torch

from kto_tui.memory.trace.ledger import Ledger
from kto_tui.memory.trace.symbols import Polynomial, Symbols, add

# Storage smaller than this needs no name: thousands of it would still be less than a tile of the head.
NAMELESS_BYTES = 65_536
# Not part of a moment: the app computes them from the model's own counts (``kto_tui.memory.weights``).
COUNTED_ELSEWHERE = frozenset({"weights", "optimizer"})


class Key(msgspec.Struct, frozen=True):
    """Where in a step: the phase, the layer from the start (0 ...) or the end (-1 ...) or None outside, a count."""

    phase: str
    layer: int | None
    index: int


class Moment(msgspec.Struct):
    """Bytes alive, in all and by part, as polynomials."""

    total: int
    parts: dict[str, Polynomial]


class _Mark(torch.autograd.Function):  # type: ignore[misc]
    """Tells the ledger which layer comes next, in both directions; allocates nothing."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ledger: "MomentLedger", layer: int) -> torch.Tensor:  # noqa: ANN401
        ctx.ledger, ctx.layer = ledger, layer
        ledger.enter(layer)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        ctx.ledger.enter(ctx.layer - 1)
        return gradients[0], None, None


class MomentLedger(Ledger):
    """A ledger that knows what every storage is made of, and keeps the moments of a step.

    Args:
        symbols: names for sizes.
        layers: decoder layers of the model.
        accelerator: see ``Ledger``.
    """

    def __init__(self, symbols: Symbols, layers: int, *, accelerator: bool) -> None:
        super().__init__(accelerator=accelerator)
        self.moments: dict[Key, Moment] = {}
        self.nameless: dict[tuple[int, ...], int] = {}
        self._symbols = symbols
        self._layers = layers
        self._layer: int | None = None
        self._counts: dict[tuple[str, int | None], int] = defaultdict(int)
        self._parts: dict[str, Polynomial] = defaultdict(dict)

    def mark(self, model: Any) -> None:  # noqa: ANN401 - a PEFT model
        """Have every decoder layer of ``model`` say when it begins, and the last one when it ends."""
        for i, layer in enumerate(model.get_base_model().model.layers):
            layer.register_forward_pre_hook(self._before(i), with_kwargs=True)
        layer.register_forward_hook(lambda _m, _a, out: self._passed(out, self._layers))

    def _before(self, index: int) -> Any:  # noqa: ANN401
        def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
            if args:
                return (self._passed(args[0], index), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": self._passed(kwargs["hidden_states"], index)}

        return hook

    def _passed(self, out: Any, index: int) -> Any:  # noqa: ANN401
        if isinstance(out, tuple):
            return (self._passed(out[0], index), *out[1:])
        return _Mark.apply(out, self, index)

    def enter(self, layer: int) -> None:
        """From now on operators belong to this layer; -1 and the number of layers stand for what lies outside."""
        self._layer = layer if 0 <= layer < self._layers else None

    @property
    def place(self) -> int | None:
        """The layer, counted from the nearer end; None outside the layers."""
        layer = self._layer
        return layer if layer is None or layer < self._layers // 2 else layer - self._layers

    def counted(self, shape: tuple[int, ...], itemsize: int, size: int, category: str, times: int) -> None:
        """See ``Ledger``: storage of this shape appears (1) or goes (-1)."""
        elements = self._symbols.elements(shape)
        if elements is None:
            if size > NAMELESS_BYTES and times > 0:
                self.nameless[shape] = self.nameless.get(shape, 0) + 1
            return
        if category not in COUNTED_ELSEWHERE:
            add(self._parts[category], elements, times * itemsize)

    def operated(self) -> None:
        """See ``Ledger``: an operator has run."""
        place = self.place
        count = self._counts[self.phase, place]
        self._counts[self.phase, place] = count + 1
        parts = {name: dict(part) for name, part in self._parts.items() if part}
        own = self.total - sum(self.alive[name] for name in COUNTED_ELSEWHERE)
        self.moments[Key(self.phase, place, count)] = Moment(own, parts)
