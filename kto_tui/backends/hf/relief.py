"""What is tried when memory runs out outside the training steps: fewer rows at a time."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from kto_tui.backends.faults import is_out_of_memory
from kto_tui.runs.events import Adjusted

T = TypeVar("T")


def release() -> None:
    """Give back what failed passes left. Call it outside the handler: a traceback holds on to their tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Relieved:
    """Work on so many rows at a time, halved for good each time memory runs out.

    Args:
        name: of the number of rows, for the record.
        rows: at first.
        told: what was changed.
    """

    def __init__(self, name: str, rows: int, told: Callable[[Adjusted], None]) -> None:
        self._name = name
        self._rows = max(1, rows)
        self._told = told

    def run(self, work: Callable[[int], T]) -> T:
        """``work`` with the number of rows at a time.

        Raises:
            RuntimeError, MemoryError: memory does not hold one row, or another fault.
        """
        while True:
            try:
                return work(self._rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self._rows == 1:
                    raise
            release()
            before, self._rows = self._rows, self._rows // 2
            because = "memory ran out outside the training steps, which stay as they are"
            self._told(Adjusted(name=self._name, before=before, after=self._rows, because=because, by="recovery"))
