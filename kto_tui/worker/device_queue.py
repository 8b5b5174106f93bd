"""The queue for a device: tickets in the order of asking, of which the lowest that is still held has the device.

A ticket is a file that its supervisor and the training process keep locked, so that it counts exactly as long as one of
them lives: a supervisor that is killed leaves the device to the next only when its training is gone too.
"""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator

from kto_tui.paths import data_home
from kto_tui.runs.control import Action
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import GaugesRead, Queued
from kto_tui.runs.lock import hold
from kto_tui.worker.child_environment import Device

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 20.0
# The order is locked only for a look at a few files; a process that was frozen in one must not stop all others.
ORDER_SECONDS = 30.0


class DeviceQueue:
    """Who has ``device``, and who waits for it. Everything raises OSError when the queue cannot be written."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._folder = data_home() / "devices" / device.key.replace("/", "_")

    def join(self, run_id: str) -> "Place":
        """A place behind all that are there."""
        with self._order():
            number = max(self._numbers(), default=0) + 1
            descriptor = hold(self._folder / str(number))
            if descriptor is None:
                raise BlockingIOError(f"{self._folder / str(number)} is locked")
            os.write(descriptor, run_id.encode())
            return Place(self, number, descriptor)

    def runs(self, before: int | None = None) -> list[str]:
        """Ids of the runs that are there, the one that has the device first; "" for one that cannot be told.

        Args:
            before: only those with a lower ticket.
        """
        with self._order():
            numbers = sorted(one for one in self._numbers() if before is None or one < before)
            return [self._run(one) for one in numbers if self._is_held(one)]

    def remove(self, number: int) -> None:
        """Take a ticket away."""
        with self._order():
            (self._folder / str(number)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _order(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = hold(self._folder / "order", wait_seconds=ORDER_SECONDS)
        if descriptor is None:
            raise BlockingIOError(f"{self._folder / 'order'} stays locked")
        try:
            yield
        finally:
            os.close(descriptor)

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]

    def _is_held(self, number: int) -> bool:
        """Whether a process holds that ticket; one that none holds is removed."""
        if (descriptor := hold(self._folder / str(number))) is None:
            return True
        (self._folder / str(number)).unlink(missing_ok=True)
        os.close(descriptor)
        return False

    def _run(self, number: int) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / str(number)).read_text(encoding="utf-8", errors="replace")
        return ""


class Place:
    """One run's place in a queue.

    Attributes:
        descriptor: keeps the place; a child that inherits it keeps it too.
    """

    def __init__(self, queue: DeviceQueue, number: int, descriptor: int) -> None:
        self._queue = queue
        self._number = number
        self.descriptor = descriptor

    def wait(self, writer: EventWriter, asked: Callable[[], Action | None]) -> Action | None:
        """Wait for the device and say so; returns the request that came first, None when the device is there."""
        told, beat = None, 0.0
        while ahead := self._queue.runs(before=self._number):
            if (action := asked()) is not None:
                return action
            if ahead[0] != told:
                writer.write(Queued(device=self._queue.device.name, holder=ahead[0] or None))
                told, beat = ahead[0], time.monotonic()
            elif time.monotonic() - beat >= HEARTBEAT_SECONDS:
                writer.write(GaugesRead())
                beat = time.monotonic()
            select.select([], [], [], POLL_SECONDS)  # not sleep, which fails where libfaketime moves the clock
        return None

    def leave(self) -> None:
        """Give the place up."""
        with contextlib.suppress(OSError):
            self._queue.remove(self._number)
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
