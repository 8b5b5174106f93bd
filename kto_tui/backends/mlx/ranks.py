"""Several processes that share each window: ``mlx.launch`` with the ring, JACCL or MPI."""

from typing import Any

import mlx.core as mx
from mlx.utils import tree_map


class Ranks:
    """This process among those that ``mlx.launch`` started; one alone without it."""

    def __init__(self) -> None:
        self._group = mx.distributed.init()
        self.rank: int = self._group.rank()
        self.size: int = self._group.size()

    def add_up(self, value: mx.array) -> mx.array:
        """``value`` summed over all processes."""
        # On the CPU, as mlx-lm does: the ring's sums have no Metal implementation.
        return value if self.size == 1 else mx.distributed.all_sum(value, stream=mx.cpu)

    def add_gradients(self, gradients: Any) -> Any:  # noqa: ANN401 - a tree of arrays
        """Gradients summed over all processes: each process's part is of the whole window's mean already."""
        return gradients if self.size == 1 else tree_map(self.add_up, gradients)
