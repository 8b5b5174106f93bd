"""Streams the records of whatever was sniffed."""

from collections.abc import Callable, Iterator

from kto_tui.data.containers.arrays import read_array
from kto_tui.data.containers.cells import read_cells
from kto_tui.data.containers.encodings import to_utf8
from kto_tui.data.containers.kind import BrokenFileError, Sniffed, place
from kto_tui.data.containers.lines import read_lines
from kto_tui.data.containers.stream import Source
from kto_tui.data.containers.tables import read_arrow, read_parquet
from kto_tui.data.records import Record, Unreadable
from kto_tui.errors import UserError

Items = Iterator[Record | Unreadable]


def _jsonl(source: Source, sniffed: Sniffed, file: int) -> Items:
    return read_lines(to_utf8(source, sniffed.encoding), sniffed.encoding, file)


def _json(source: Source, sniffed: Sniffed, file: int) -> Items:
    return read_array(to_utf8(source, sniffed.encoding), sniffed.encoding, file)


def _cells(source: Source, sniffed: Sniffed, file: int) -> Items:
    return read_cells(to_utf8(source, sniffed.encoding), sniffed.encoding, sniffed.delimiter, file)


READERS: dict[str, Callable[[Source, Sniffed, int], Items]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _cells,
    "tsv": _cells,
    "parquet": lambda source, _, file: read_parquet(source, file),
    "arrow": lambda source, _, file: read_arrow(source, file),
}


class Reader:
    """Iterate once over the records and unreadable places of all files, in order, with bounded memory.

    Raises:
        UserError: while iterating: a file cannot be trusted (cut off, damaged, changed while it was read, unpacks
            without end); what was yielded before is whole.
    """

    def __init__(self, sniffed: Sniffed) -> None:
        self._members = sniffed.members or (sniffed,)
        self._done = 0
        self._source: Source | None = None

    @property
    def bytes_done(self) -> int:
        """Bytes on disk that were read, of ``Sniffed.bytes_total``."""
        return self._done + (self._source.position if self._source else 0)

    def __iter__(self) -> Items:
        for file, member in enumerate(self._members):
            yield from self._read(member, file)

    def _read(self, member: Sniffed, file: int) -> Items:
        last = 0
        with Source(member.path, member.compression) as source:
            self._source = source
            try:
                for item in READERS[member.kind](source, member, file):
                    last = item.line
                    yield item
            except BrokenFileError as error:
                source.verify()  # what changes under the reader looks broken
                where = place(member.path, error.line or last or None)
                upto = f"; it could be read up to line {last}" if last and not error.line else ""
                raise UserError(f"{error.what}{upto}", mend=error.mend, where=where) from None
            source.verify()
            self._done += source.size
            self._source = None
