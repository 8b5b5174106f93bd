"""The event log: one JSON line per event, appended by the worker, read by everyone else."""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from kto_tui.atomic import ends_torn
from kto_tui.runs.events import AnyEvent, Noted

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class _Kind(msgspec.Struct):
    kind: str


class EventWriter:
    """Appends events, each with one ``write`` on an ``O_APPEND`` descriptor, so that writers cannot interleave.

    A full disk never ends a training: events that could not be written are counted and noted once there is room.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.lost = 0
        self._torn = ends_torn(self._fd)

    def mend(self) -> None:
        """Call after another writer of the same file died: its last line may have been cut in the middle."""
        self._torn = self._torn or ends_torn(self._fd)

    def write(self, event: AnyEvent) -> None:
        """Stamp ``event`` with the time and append it."""
        if self.lost and not isinstance(event, Noted):
            lost, self.lost = self.lost, 0
            if not self._append(Noted(text=f"{lost} events could not be written (disk full?); curves have a gap")):
                self.lost = lost
        if not self._append(event):
            self.lost += 1

    def _append(self, event: AnyEvent) -> bool:
        stamped = msgspec.structs.replace(event, t=round(time.time(), 3))
        line = _encoder.encode(stamped) + b"\n"
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError:
            return False
        if written == len(line):
            self._torn = False
            return True
        self._torn = not self._taken_back(written) or self._torn
        return False

    def _taken_back(self, written: int) -> bool:
        """Whether the piece of a line that still fitted is gone again; it stays where another writer was behind it."""
        with contextlib.suppress(OSError):
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            if os.fstat(self._fd).st_size == end:
                os.ftruncate(self._fd, end - written)
                return True
        return False

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


class Tail:
    """Reads whole lines as they arrive and remembers where it was; an unfinished last line is "not yet".

    Args:
        path: of the event log.
        last_bytes: begin so far before its end instead of at its beginning; the line cut there counts as damaged.

    Attributes:
        skipped: lines of a kind this version does not know.
        damaged: lines that are not an event at all (torn by a crash).
    """

    def __init__(self, path: Path, *, last_bytes: int | None = None) -> None:
        self._path = path
        self._offset = 0
        if last_bytes is not None:
            with contextlib.suppress(OSError):
                self._offset = max(0, path.stat().st_size - last_bytes)
        self.skipped = 0
        self.damaged = 0

    def read(self, budget_bytes: int = 4_000_000) -> list[AnyEvent]:
        """The events that arrived since the last call, at most about ``budget_bytes`` worth; none: nothing is new."""
        events: list[AnyEvent] = []
        while not events and (lines := self._lines(budget_bytes)):
            events = [event for line in lines if (event := self._decode(line)) is not None]
        return events

    def _lines(self, budget_bytes: int) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(budget_bytes)
                if len(block) == budget_bytes and b"\n" not in block:
                    block += file.readline()
        except OSError:
            return []
        end = block.rfind(b"\n") + 1
        self._offset += end
        return block[:end].splitlines()

    def _decode(self, line: bytes) -> AnyEvent | None:
        if not line.strip():
            return None
        try:
            return _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            msgspec.json.decode(line, type=_Kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.damaged += 1
        else:
            self.skipped += 1
        return None
