"""Every row of a source as it was found, in a file that is mapped into memory; what is decided about rows is not in it.

Arrow's IPC file format: many programs read it, nothing of it must be loaded to read one row. Beside it lies a JSON
file with what holds for all rows; it is written last, so a store without it is none.
"""

import bisect
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.checks.facts import Columns, Facts
from kto_tui.data.labels import Scalar
from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import Form, RawRow, Text
from kto_tui.units import MIB

if TYPE_CHECKING:
    import pyarrow as pa

# Changes when the same source would be stored differently, so that old stores are not read.
VERSION = 1
FACTS = ("file", "line", "code", "flags", "content", "prompt_hash", "prompt_characters", "completion_characters")
TOLD = ("file", "line", "code", "chat", "prompt", "completion", "tools", "problem")
# What the system maps at once around a place that is read (Linux), and how much is kept mapped.
FAULT_BYTES = 64 * 1024
MAPPED_BYTES = 64 * MIB
_turns = msgspec.json.Decoder(tuple[Message, ...])


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all rows of a store.

    Attributes:
        key: what the store was made from and how, as a digest.
        files: paths that ``file`` counts.
        format: title, confidence and because of the container.
        form: how records were read.
        labels: as of ``Facts``.
        values: as of ``Facts``.
        records: objects in the files.
        bytes_read: of the files.
    """

    key: str
    files: tuple[str, ...]
    format: tuple[str, float, str]
    form: Form
    labels: tuple[str, ...]
    values: tuple[Scalar, ...]
    records: int
    bytes_read: int
    version: int = VERSION


class Stored(msgspec.Struct, frozen=True):
    """One row as it was found. ``code``: of its label; ``problem``: why it is none, its text then the raw record."""

    number: int
    file: int
    line: int
    code: int
    prompt: Text
    completion: Text
    tools: str
    problem: str

    def raw(self, value: Scalar) -> RawRow:
        """With the label as it was found."""
        return RawRow(self.prompt, self.completion, value, self.tools)


def schema() -> "pa.Schema":
    """The columns of a store."""
    import pyarrow as pa

    kinds = (pa.uint16(), pa.uint64(), pa.uint16(), pa.uint8(), pa.uint64(), pa.uint64(), pa.uint32(), pa.uint32())
    texts = [(name, pa.large_string()) for name in ("prompt", "completion", "tools", "problem")]
    return pa.schema([*zip(FACTS, kinds, strict=True), ("chat", pa.bool_()), *texts])


class Store:
    """A finished store, mapped into memory.

    Attributes:
        path: of the file.
        about: what holds for all rows.
    """

    def __init__(self, path: Path, about: About) -> None:
        import pyarrow as pa

        self.path = path
        self.about = about
        with path.open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._mapped)))
        self._touched = 0
        self._last: tuple[int, pa.RecordBatch] | None = None
        self._starts = [0]
        for i in range(self._reader.num_record_batches):
            self._starts.append(self._starts[-1] + self._batch(i).num_rows)

    def __len__(self) -> int:
        return self._starts[-1]

    def row(self, number: int) -> Stored:
        """The row of that number.

        Raises:
            IndexError: there is none.
        """
        if not 1 <= number <= len(self):
            raise IndexError(number)
        i = bisect.bisect_right(self._starts, number - 1) - 1
        batch, index = self._batch(i), number - 1 - self._starts[i]
        self._touch(FAULT_BYTES * len(TOLD))
        return _stored(number, *(batch.column(name)[index].as_py() for name in TOLD))

    def __iter__(self) -> Iterator[Stored]:
        for i, begin in enumerate(self._starts[:-1]):
            batch = self._batch(i)
            columns = [batch.column(name).to_pylist() for name in TOLD]
            self._touch(batch.nbytes)
            for number, told in enumerate(zip(*columns, strict=True), begin + 1):
                yield _stored(number, *told)

    def _batch(self, i: int) -> "pa.RecordBatch":
        last = self._last
        if last is None or last[0] != i:
            last = self._last = i, self._reader.get_batch(i)
        return last[1]

    def _touch(self, size: int) -> None:
        """Count bytes that were read; now and then the memory they are mapped to is given back, to be mapped anew."""
        self._touched += size
        if self._touched >= MAPPED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def facts(self) -> Facts:
        """The facts of all rows."""
        import numpy as np

        batches = self._reader.num_record_batches
        arrays = [np.empty(len(self), field.type.to_pandas_dtype()) for field in schema() if field.name in FACTS]
        for i in range(batches):
            batch = self._batch(i)
            for name, array in zip(FACTS, arrays, strict=True):
                array[self._starts[i] : self._starts[i + 1]] = batch.column(name).to_numpy()
            self._touch(FAULT_BYTES * len(FACTS))
        return _StoredFacts(Columns(*arrays), self.about)

    def search(self, text: str, start: int) -> int | None:
        """Number of the first row from ``start`` on, round the end, whose texts contain ``text`` in any case."""
        import pyarrow.compute as pc

        after: int | None = None
        before: int | None = None
        for i, begin in enumerate(self._starts[:-1]):
            batch = self._batch(i)
            self._touch(batch.nbytes)
            hits = pc.or_(
                *(pc.match_substring(batch.column(name), text, ignore_case=True) for name in ("prompt", "completion"))
            )
            for index in pc.indices_nonzero(hits).to_pylist():
                number = begin + index + 1
                if number >= start:
                    after = number
                    break
                before = number if before is None else before
            if after is not None:
                return after
        return before


def _stored(
    number: int, file: int, line: int, code: int, chat: bool, prompt: str, completion: str, tools: str, problem: str
) -> Stored:
    asked, answered = (_turns.decode(prompt), _turns.decode(completion)) if chat else (prompt, completion)
    return Stored(number, file, line, code, asked, answered, tools, problem)


class _StoredFacts(Facts):
    def __init__(self, columns: Columns, about: About) -> None:
        super().__init__()
        for value in about.values:
            self.code(value)
        self._stored = columns

    def __len__(self) -> int:
        return len(self._stored.line)

    def columns(self) -> Columns:
        return self._stored


def open_store(path: Path, key: str | None = None) -> Store | None:
    """The store at ``path``; None when it is absent, damaged, older or of another ``key``, so that it is made again."""
    import pyarrow as pa

    try:
        about = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=About)
        if about.version != VERSION or (key is not None and about.key != key):
            return None
        store = Store(path, about)
    except (OSError, ValueError, msgspec.DecodeError, pa.ArrowException):
        return None
    return store
