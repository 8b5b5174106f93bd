"""What is tried when memory runs out outside the training steps: fewer rows at a time."""

from collections.abc import Callable
from typing import TypeVar

from kto_tui.backends.faults import is_out_of_memory
from kto_tui.runs.events import Adjusted

T = TypeVar("T")


class Relieved:
    """Work on so many rows at a time, halved for good each time memory runs out.

    Args:
        name: of the number of rows, for the record.
        rows: at first.
        told: what was changed.
        release: gives back what a failed try left; called when its traceback, which holds on to arrays, is gone.
    """

    def __init__(self, name: str, rows: int, told: Callable[[Adjusted], None], release: Callable[[], None]) -> None:
        self._name = name
        self._rows = max(1, rows)
        self._told = told
        self._release = release

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
            self._release()
            before, self._rows = self._rows, self._rows // 2
            because = "memory ran out outside the training steps, which stay as they are"
            self._told(Adjusted(name=self._name, before=before, after=self._rows, because=because, by="recovery"))
