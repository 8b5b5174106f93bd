"""A ledger of storage: every allocation and release of a step, and what was alive at its worst moment."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# CUDA's caching allocator hands out blocks in multiples of this (c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize).
BLOCK_BYTES = 512


def blocks(size: int) -> int:
    """``size`` in bytes rounded up to whole allocator blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


class Peak:
    """The most bytes alive at once in one phase, and by category at that moment."""

    __slots__ = ("parts", "total")

    def __init__(self) -> None:
        self.total = 0
        self.parts: dict[str, int] = {}


class Ledger(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of every storage an operator makes while it is alive, as an accelerator's allocator would.

    Attributes:
        phase: name under which peaks are kept; set it as the step goes on.
        category: name for storage that is made from now on.
        peaks: the peak of every phase.
        alive: bytes alive now, by category.
        total: bytes alive now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phase = "setup"
        self.category = "activations"
        self.peaks: dict[str, Peak] = defaultdict(Peak)
        self.alive: dict[str, int] = defaultdict(int)
        self.total = 0
        self._seen: dict[int, tuple[weakref.ref[Any], Callable[[str], None]]] = {}

    def hold(self, tensors: Iterable[torch.Tensor], category: str) -> None:
        """Count ``tensors`` under ``category``, also those that were made before or under another name."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            known = self._seen.get(id(storage))
            if known is not None and known[0]() is storage:
                known[1](category)
            else:
                self._count(tensor, storage, category)

    def counted(self, shape: tuple[int, ...], itemsize: int, size: int, category: str, times: int) -> None:
        """Called when storage of ``size`` bytes appears (``times`` 1) or goes (-1) in a category."""

    def operated(self) -> None:
        """Called after each operator."""

    def _count(self, tensor: torch.Tensor, storage: Any, category: str) -> None:  # noqa: ANN401
        size = blocks(storage.nbytes())
        itemsize = tensor.element_size()
        shape = tuple(tensor.shape)
        if tensor.numel() * itemsize != storage.nbytes():  # a view of what was made inside an operator
            shape = (storage.nbytes() // itemsize,)
        held = [category]
        key = id(storage)

        def change(name: str, times: int) -> None:
            self.alive[name] += times * size
            self.total += times * size
            self.counted(shape, itemsize, size, name, times)

        def release(_: object) -> None:
            change(held[0], -1)
            self._seen.pop(key, None)

        def rename(name: str) -> None:
            change(held[0], -1)
            held[0] = name
            change(name, 1)

        self._seen[key] = (weakref.ref(storage, release), rename)
        change(category, 1)
        peak = self.peaks[self.phase]
        if self.total > peak.total:
            peak.total, peak.parts = self.total, dict(self.alive)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                known = self._seen.get(id(storage))
                if known is None or known[0]() is not storage:
                    self._count(leaf, storage, self.category)
        self.operated()
        return out
