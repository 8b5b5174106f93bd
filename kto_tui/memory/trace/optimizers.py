"""Optimizers by their memory: torch's AdamW itself, and bitsandbytes' 8-bit AdamW written out."""

from collections.abc import Iterable
from typing import Any

import torch

from kto_tui.memory.trace.settings import Settings

# bitsandbytes 0.50, optim/optimizer.py: tensors below this many elements keep float32 states; quantised states have
# one float32 absmax per block of 256 (arXiv:2110.02861).
MIN_8BIT, BLOCK = 4096, 256


class FakeAdamW8bit(torch.optim.Optimizer):  # type: ignore[misc]
    """``bitsandbytes.optim.AdamW8bit``: two states of one byte per element; paged, they lie in managed memory.

    Managed memory is the CUDA driver's, not the allocator's: it is counted nowhere here.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], *, paged: bool) -> None:
        super().__init__(parameters, {})
        self._paged = paged

    def step(self, closure: Any = None) -> None:  # noqa: ANN401, ARG002
        """Make each parameter's state when it is first needed; the update itself allocates nothing."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None or self.state[parameter]:
                    continue
                count = parameter.numel()
                small = count < MIN_8BIT
                made = [
                    parameter.new_empty(
                        0 if self._paged and not small else count, dtype=torch.float32 if small else torch.uint8
                    )
                    for _ in range(2)
                ]
                if not small:
                    made += [parameter.new_empty(-(-count // BLOCK), dtype=torch.float32) for _ in range(2)]
                self.state[parameter] = dict(enumerate(made))


def optimizer(settings: Settings, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    """The optimizer of ``settings`` over ``parameters``."""
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-4, foreach=settings.foreach)
    return FakeAdamW8bit(parameters, paged=settings.optimizer.startswith("paged"))


def state_tensors(made: torch.optim.Optimizer) -> list[torch.Tensor]:
    """All tensors in the optimizer's state."""
    return [part for state in made.state.values() for part in state.values() if isinstance(part, torch.Tensor)]
