"""Tells what a backend's memory allocator holds, at most every few seconds."""

import contextlib
import time
from collections.abc import Callable

from kto_tui.runs.events import AllocatorRead

EVERY_SECONDS = 2.0


class AllocatorGauges:
    """Emits an ``AllocatorRead`` when it is time.

    Args:
        emit: takes the event.
        read: active, cached and peak bytes; it may fail, which leaves one reading out and never ends a training.
        every_seconds: from one reading to the next.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        emit: Callable[[AllocatorRead], None],
        read: Callable[[], tuple[int, int, int]],
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._read = read
        self._every = every_seconds
        self._clock = clock
        self._due: float | None = None

    def tick(self, step: int) -> None:
        """Call after each ``step``: reads at the first call and then when the time has come."""
        now = self._clock()
        if self._due is not None and now < self._due:
            return
        self._due = now + self._every
        figures: tuple[int, int, int] | None = None
        with contextlib.suppress(Exception):  # as any sensor
            figures = self._read()
        if figures is not None:
            active, cached, peak = figures
            self._emit(AllocatorRead(active_bytes=active, cache_bytes=cached, peak_bytes=peak, step=step))
