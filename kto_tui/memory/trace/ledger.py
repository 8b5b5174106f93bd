"""A ledger of storage: every allocation and release of a step, and what was alive at its worst moment."""

import math
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


def _product_of_softmax(args: tuple[Any, ...]) -> list[tuple[tuple[int, ...], int]]:
    """aten/src/ATen/native/cuda/SoftMax.cu, softmax_backward_cuda_out: gradient times output, made first."""
    return [(tuple(args[1].shape), args[1].element_size())]


def _query_accumulator(args: tuple[Any, ...]) -> list[tuple[tuple[int, ...], int]]:
    """Backward of fused attention: the queries' gradient is added up in float32, beside one number per query.

    aten/src/ATen/native/transformers/cuda: flash_attn/flash_api.cpp (dq_accum, softmax_d) and mem_eff_attention, whose
    workspace is the same where the model's dtype is narrower.
    """
    query = args[1]
    per_query = [(tuple(query.shape[:-1]), 4)]
    return per_query if query.element_size() == 4 else [(tuple(query.shape), 4), *per_query]


# What CUDA's kernels take for themselves, by the operator that stands for them on fake tensors.
HIDDEN: dict[Any, Callable[[tuple[Any, ...]], list[tuple[tuple[int, ...], int]]]] = {
    torch.ops.aten._softmax_backward_data.default: _product_of_softmax,  # noqa: SLF001
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _query_accumulator,  # noqa: SLF001
}


class Peak:
    """The most bytes alive at once in one phase, and by category at that moment."""

    __slots__ = ("parts", "total")

    def __init__(self) -> None:
        self.total = 0
        self.parts: dict[str, int] = {}


class Ledger(TorchDispatchMode):  # type: ignore[misc]
    """Counts the bytes of every storage an operator makes while it is alive, as an accelerator's allocator would.

    Args:
        accelerator: count what CUDA's kernels take for themselves, too.

    Attributes:
        phase: name under which peaks are kept; set it as the step goes on.
        category: name for storage that is made from now on.
        peaks: the peak of every phase.
        alive: bytes alive now, by category.
        total: bytes alive now.
    """

    def __init__(self, *, accelerator: bool = True) -> None:
        super().__init__()
        self._hidden = HIDDEN if accelerator else {}
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

    def _touch(self, shapes: list[tuple[tuple[int, ...], int]]) -> None:
        """What a kernel takes for itself and gives back, beside its results."""
        sizes = [blocks(math.prod(shape) * itemsize) for shape, itemsize in shapes]
        for times in (1, -1):
            for (shape, itemsize), size in zip(shapes, sizes, strict=True):
                self._change(shape, itemsize, size, self.category, times)
            if times == 1:
                self._mark_peak()
                self.operated()

    def _change(self, shape: tuple[int, ...], itemsize: int, size: int, category: str, times: int) -> None:
        self.alive[category] += times * size
        self.total += times * size
        self.counted(shape, itemsize, size, category, times)

    def _mark_peak(self) -> None:
        peak = self.peaks[self.phase]
        if self.total > peak.total:
            peak.total, peak.parts = self.total, dict(self.alive)

    def _count(self, tensor: torch.Tensor, storage: Any, category: str) -> None:  # noqa: ANN401
        size = blocks(storage.nbytes())
        itemsize = tensor.element_size()
        shape = tuple(tensor.shape)
        if tensor.numel() * itemsize != storage.nbytes():  # a view of what was made inside an operator
            shape = (storage.nbytes() // itemsize,)
        held = [category]
        key = id(storage)

        def release(_: object) -> None:
            self._change(shape, itemsize, size, held[0], -1)
            self._seen.pop(key, None)

        def rename(name: str) -> None:
            self._change(shape, itemsize, size, held[0], -1)
            held[0] = name
            self._change(shape, itemsize, size, name, 1)

        self._seen[key] = (weakref.ref(storage, release), rename)
        self._change(shape, itemsize, size, category, 1)
        self._mark_peak()

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
        if func in self._hidden:
            self._touch(self._hidden[func](args))
        self.operated()
        return out
