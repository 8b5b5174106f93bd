"""Writes records as Parquet: texts, labels and lists of messages; what is nested deeper becomes JSON text."""

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 1024


def write_parquet(file: BinaryIO, records: Callable[[], Iterator[dict[str, Any]]]) -> None:
    """Write all records, which are asked for twice: columns and the fields of messages may first occur in the last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(records())
    with pq.ParquetWriter(file, schema) as writer:
        rows = records()
        while some := list(itertools.islice(map(_flat, rows), GROUP_ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist(some, schema))


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {name: [*map(_texts, value)] if _is_chat(value) else _text(value) for name, value in record.items()}


def _texts(message: dict[str, Any]) -> dict[str, Any]:
    return {name: _text(value) for name, value in message.items()}


def _text(value: object) -> object:
    """Calls of tools have other fields in every row, so no table can hold them as they are."""
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and _speaks(one) for one in value)


def _speaks(message: dict[str, Any]) -> bool:
    return "role" in message or "from" in message


def _schema(records: Iterator[dict[str, Any]]) -> "pa.Schema":
    """Columns, and fields of messages, in order of appearance."""
    import pyarrow as pa

    kinds: dict[str, Any] = {}
    fields: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.items():
            if _is_chat(value):
                kinds.setdefault(name, None)
                fields.setdefault(name, {}).update({key: None for message in value for key in message})
            else:
                kinds[name] = pa.bool_() if isinstance(value, bool) else pa.string()
    for name, keys in fields.items():
        kinds[name] = pa.list_(pa.struct([(key, pa.string()) for key in keys]))
    return pa.schema(kinds.items())
