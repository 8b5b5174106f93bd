"""Reads a path the way the data doctor does, and writes compressed files."""

import gzip
from pathlib import Path

import pyarrow as pa

from kto_tui.choices import DataChoices
from kto_tui.data.containers.reader import Reader
from kto_tui.data.containers.sniff import Sniffed, sniff
from kto_tui.data.records import Record, Unreadable


def look(path: Path, **choices: object) -> Sniffed:
    return sniff(path, DataChoices(**choices))  # type: ignore[arg-type]


def items(path: Path, **choices: object) -> list[Record | Unreadable]:
    sniffed = look(path, **choices)
    reader = Reader(sniffed)
    found = list(reader)
    assert reader.bytes_done == sniffed.bytes_total == sum(file.stat().st_size for file in sniffed.files)
    return found


def values(path: Path, **choices: object) -> list[dict[str, object]]:
    """The records of a path that has nothing else."""
    found = items(path, **choices)
    assert [item for item in found if isinstance(item, Unreadable)] == []
    return [item.value for item in found if isinstance(item, Record)]


def zstd(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    return bytes(out.getvalue().to_pybytes())


PACK = {"": lambda data: data, "gzip": gzip.compress, "zstd": zstd}
