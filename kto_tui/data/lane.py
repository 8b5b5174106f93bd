"""The program that takes some stretches of large files of JSON lines: ``python -m kto_tui.data.lane``.

Reads a job as JSON from its standard input; writes Arrow's stream format, some batches of which carry more.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.containers.encodings import to_utf8
from kto_tui.data.containers.kind import BrokenFileError, place
from kto_tui.data.containers.lines import read_lines
from kto_tui.data.containers.stream import Source
from kto_tui.data.intake import Intake
from kto_tui.data.labels import Scalar
from kto_tui.data.shapes.form import Form
from kto_tui.data.store import schema
from kto_tui.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

UTF8 = "utf-8"


class Stretch(msgspec.Struct, frozen=True):
    """The lines of a file that begin at byte ``begin`` or later, and before ``end``."""

    file: int
    path: bytes
    begin: int
    end: int


class Job(msgspec.Struct, frozen=True):
    """``chat``: as of ``Intake``."""

    form: Form
    chat: bool
    stretches: tuple[Stretch, ...]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What comes before the batches of a stretch, with a batch without rows.

    Attributes:
        batches: how many follow.
        lines: that end in the stretch.
        records: in it.
        values: of labels that this program had not met before, in order.
        refused: what, mend and where of a ``UserError``.
    """

    batches: int = 0
    lines: int = 0
    records: int = 0
    values: tuple[Scalar, ...] = ()
    refused: tuple[str, str, str | None] | None = None


class _Lines:
    """The bytes of a stretch's lines, block by block; ``count``: line ends so far."""

    def __init__(self, source: Source, stretch: Stretch) -> None:
        self._source = source
        self._begin = stretch.begin
        self._end = stretch.end
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._whole_lines():
            self.count += block.count(b"\n")
            yield block

    def _whole_lines(self) -> Iterator[bytes]:
        # A line belongs to the stretch that the line end before it lies just before.
        at = max(0, self._begin - 1)
        self._source.raw.seek(at)
        self._source.position = at
        inside = self._begin == 0
        for block in self._source:
            first, at = at, at + len(block)
            if not inside:
                cut = block.find(b"\n") + 1
                if not cut:
                    continue
                if first + cut >= self._end:
                    return
                inside, first, block = True, first + cut, block[cut:]  # noqa: PLW2901 - the rest of it
            if at >= self._end and (cut := block.find(b"\n", max(0, self._end - 1 - first)) + 1):
                yield block[:cut]
                return
            yield block


def _take(stretch: Stretch, intake: Intake) -> tuple[Told, list["pa.RecordBatch"]]:
    before, known = intake.records, len(intake.labels.values)
    batches = []
    path = Path(os.fsdecode(stretch.path))
    try:
        with Source(path) as source:
            lines = _Lines(source, stretch)
            text = iter(lines) if stretch.begin else to_utf8(lines, UTF8)  # a byte order mark may come first
            for item in read_lines(text, UTF8, stretch.file):
                intake.take(item)
                if intake.full:
                    batches.append(intake.batch())
            source.verify()
    except UserError as error:
        return Told(refused=(error.what, error.mend, error.where)), []
    except BrokenFileError as error:
        return Told(refused=(error.what, error.mend, place(path))), []
    if (last := intake.batch()) is not None:
        batches.append(last)
    values = tuple(intake.labels.values[known:])
    return Told(batches=len(batches), lines=lines.count, records=intake.records - before, values=values), batches


def main() -> None:
    """Take the stretches of the job that is told."""
    import pyarrow as pa

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    intake = Intake(job.form, chat=job.chat)
    nothing = pa.RecordBatch.from_pylist([], schema())
    with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, "w"), schema()) as stream:
        for stretch in job.stretches:
            told, batches = _take(stretch, intake)
            stream.write_batch(nothing, custom_metadata={"told": msgspec.json.encode(told)})
            for batch in batches:
                stream.write_batch(batch)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        main()
