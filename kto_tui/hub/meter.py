"""Counts what has arrived and tells it, one JSON line at a time, on the download program's standard output."""

import os
import threading
import time
from collections import deque

import msgspec

from kto_tui.hub.updates import Progressed, Update

TICK_SECONDS = 0.25
HEARTBEAT_SECONDS = 1.0
RATE_SECONDS = 8.0


class Channel:
    """Whole lines on ``descriptor``; after the last one nothing follows. A reader that went away ends the program."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A signal handler may write while the very thread it interrupted holds this.
        self._lock = threading.RLock()

    def say(self, update: Update) -> None:
        """One line, at once."""
        with self._lock:
            try:
                os.write(self._descriptor, msgspec.json.encode(update) + b"\n")
            except OSError:
                os._exit(1)

    def leave(self, last: Update, code: int) -> None:
        """The last line, then the end of this process, whatever its other threads are waiting for."""
        with self._lock:
            self.say(last)
            os._exit(code)


class Meter:
    """Bytes per file, told to ``channel`` about four times a second and at least once, until the process ends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sizes: dict[str, int] = {}
        self._here: dict[str, int] = {}
        self._file = ""
        self._highest = 0
        self._lock = threading.RLock()
        self._samples: deque[tuple[float, int]] = deque()
        self._told: tuple[int, int] | None = None
        self._told_at = 0.0
        self.fetched = 0

    def start(self, sizes: dict[str, int], here: dict[str, int]) -> None:
        """Begin telling: the size of every file and how much of it is here already."""
        self._sizes, self._here = sizes, dict(here)
        threading.Thread(target=self._keep_telling, daemon=True).start()

    def resume(self, file: str, at: int) -> None:
        """``file`` goes on from byte ``at``."""
        with self._lock:
            self._here[file], self._file = at, file

    def add(self, file: str, count: int) -> None:
        """``count`` more bytes of ``file``; less than none when the server made it begin again."""
        with self._lock:
            self._here[file] += count
            self._file = file
            self.fetched += max(0, count)

    def read(self, now: float) -> Progressed:
        """Where things stand at monotonic time ``now``; never less than told before."""
        self._samples.append((now, self.fetched))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        began, before = self._samples[0]
        self._highest = max(self._highest, sum(self._here.values()))
        return Progressed(
            bytes_done=self._highest,
            bytes_total=sum(self._sizes.values()),
            files_done=sum(self._here[name] >= size for name, size in self._sizes.items()),
            files_total=len(self._sizes),
            file=self._file,
            bytes_per_second=(self.fetched - before) / (now - began) if now > began else None,
        )

    def tell(self) -> None:
        """Say how things stand unless that is known, or was said within the last second."""
        with self._lock:
            now = time.monotonic()
            seen = self.read(now)
            news = (seen.bytes_done, seen.files_done)
            if news != self._told or now - self._told_at >= HEARTBEAT_SECONDS:
                self._channel.say(seen)
                self._told, self._told_at = news, now

    def _keep_telling(self) -> None:
        while True:
            self.tell()
            time.sleep(TICK_SECONDS)
