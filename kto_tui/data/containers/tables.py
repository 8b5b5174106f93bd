"""Parquet and Arrow: record by record, a few at a time. Nothing in such a file is ever run or unpickled.

PyArrow is loaded only where a table is opened. Extension types read as what they are stored as.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kto_tui.data.containers.kind import BrokenFileError, quoted, require_unique
from kto_tui.data.containers.stream import AGAIN, Source
from kto_tui.data.records import Record, Unreadable
from kto_tui.units import MIB

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = b"PAR1"
ARROW = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"
# At once in Python: rows, cells, bytes.
_MOST_ROWS = 512
_MOST_CELLS = 65_536
_BATCH_BYTES = 8 * MIB
# On values that Python cannot hold; most of PyArrow's own derive from these.
UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    OSError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Whatever PyArrow finds wrong with a file, as a ``BrokenFileError``."""
    try:
        yield
    except BrokenFileError:
        raise
    except Exception as error:  # noqa: BLE001 - PyArrow raises of many kinds on hostile bytes
        reason = " ".join(str(error).split())[:200]
        raise BrokenFileError(f"The {what} data are damaged ({reason})", mend=AGAIN) from None


def read_parquet(source: Source, file: int) -> Iterator[Record | Unreadable]:
    """Every row, numbered from 1."""
    import pyarrow.parquet as pq

    with guarded("Parquet"):
        table = pq.ParquetFile(source.raw, pre_buffer=False, buffer_size=MIB)
        meta = table.metadata
        schema = table.schema_arrow
        size = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
        rows = _rows(len(schema.names), size // max(meta.num_rows, 1))
        _require_names(schema)
        source.require_bounded(size, source.size)
    read = 0
    line = 0
    for batch in _guard(table.iter_batches(batch_size=rows), "Parquet"):
        read += batch.num_rows
        source.position = source.size * read // max(meta.num_rows, read)
        line = yield from _records(source, batch, line, file)


def read_arrow(source: Source, file: int) -> Iterator[Record | Unreadable]:
    """Every row of an IPC file or stream, numbered from 1."""
    import pyarrow as pa

    head = source.raw.read(len(ARROW))
    source.raw.seek(0)
    with guarded("Arrow"):
        if head == ARROW:
            reader = pa.ipc.open_file(source.raw)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(source.raw)
            batches = iter(reader)
        _require_names(reader.schema)
    line = 0
    for batch in _guard(batches, "Arrow"):
        # Offsets in damaged files point anywhere: unchecked, reading a value ends the process.
        with guarded("Arrow"):
            batch.validate(full=True)
        source.position = min(source.raw.tell(), source.size)
        line = yield from _records(source, batch, line, file)


def _guard(batches: Iterator["pa.RecordBatch"], what: str) -> Iterator["pa.RecordBatch"]:
    while True:
        with guarded(what):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _rows(columns: int, row_bytes: int) -> int:
    return max(1, min(_MOST_ROWS, _MOST_CELLS // max(columns, 1), _BATCH_BYTES // max(row_bytes, 1)))


def _require_names(schema: "pa.Schema") -> None:
    if not schema.names:
        raise BrokenFileError("The table has no columns", mend="Name a file that holds rows")
    require_unique(schema.names)


def _records(
    source: Source, batch: "pa.RecordBatch", line: int, file: int
) -> Generator[Record | Unreadable, None, int]:
    """The rows of ``batch``, after ``line`` earlier ones; returns how many there are now."""
    # A column of nulls takes no bytes: each row counts for one.
    source.unpacked += batch.nbytes + batch.num_rows
    source.require_bounded(source.unpacked)
    rows = _rows(batch.num_columns, batch.nbytes // max(batch.num_rows, 1))
    for begin in range(0, batch.num_rows, rows):
        for row in _dicts(batch.slice(begin, rows)):
            line += 1
            yield Unreadable(line, row, file) if isinstance(row, str) else Record(line, row, file)
    return line


def _dicts(batch: "pa.RecordBatch") -> Iterator[dict[str, Any] | str]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    broken = [(name, cells) for name, cells in zip(names, columns, strict=True) if any(cell is _BAD for cell in cells)]
    for index, row in enumerate(zip(*columns, strict=True)):
        bad = next((name for name, cells in broken if cells[index] is _BAD), None)
        yield (
            dict(zip(names, row, strict=True))
            if bad is None
            else f"its column {quoted(bad)} holds what is no valid value"
        )


_BAD = object()  # stands for a value that is broken


def _values(column: "pa.Array") -> list[Any]:
    """Python values; times as text, for Python has none finer than microseconds."""
    import pyarrow as pa

    try:
        return (column.cast(pa.string()) if pa.types.is_temporal(column.type) else column).to_pylist()  # type: ignore[no-any-return]
    except UNREADABLE:
        return [_value(scalar) for scalar in column]


def _value(scalar: "pa.Scalar") -> Any:  # noqa: ANN401 - whatever the column holds
    try:
        return scalar.as_py()
    except UNREADABLE:
        return _BAD
