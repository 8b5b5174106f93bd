"""Writes a store, whole or not at all: rows are gathered as bytes and become Arrow's a thousand at a time."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from kto_tui.atomic import unused_beside, write_atomically
from kto_tui.data.shapes.form import Text
from kto_tui.data.store import About, schema
from kto_tui.paths import make_private

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024
BATCH_BYTES = 4_000_000
_encode = msgspec.json.Encoder().encode


def encoded(text: Text) -> bytes:
    """A prompt or completion as it is stored: plain text, or JSON of its messages. A lone surrogate becomes ``?``."""
    try:
        return text.encode() if type(text) is str else _encode(text)
    except UnicodeEncodeError:
        plain = text if isinstance(text, str) else json.dumps(msgspec.to_builtins(text), ensure_ascii=False)
        return plain.encode("utf-8", "replace")


class Batch:
    """Rows on their way into a store; each is put there as bytes once, and a thousand at a time become Arrow's."""

    def __init__(self) -> None:
        self._facts: list[tuple[int, ...]] = []
        self._texts: tuple[list[bytes], ...] = ([], [], [], [])
        self._bytes = 0

    def add(self, facts: tuple[int, ...], *texts: bytes) -> None:
        """The next row.

        Args:
            facts: its numbers in the order of ``FACTS``, and 1 where it is chat, 0 where it is plain text.
            texts: prompt and completion as of ``encoded``, tools and problem.
        """
        self._facts.append(facts)
        for column, text in zip(self._texts, texts, strict=True):
            column.append(text)
            self._bytes += len(text)

    @property
    def full(self) -> bool:
        """Whether it is time to take what is there."""
        return len(self._facts) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def take(self) -> "pa.RecordBatch | None":
        """All rows since the last time; None where there are none."""
        import pyarrow as pa

        if not self._facts:
            return None
        fields = schema()
        columns = zip(*self._facts, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=False)]
        arrays += map(_strings, self._texts)
        self._facts.clear()
        for texts in self._texts:
            texts.clear()
        self._bytes = 0
        return pa.record_batch(arrays, schema=fields)


def _strings(texts: list[bytes]) -> "pa.LargeStringArray":
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(texts) + 1, dtype="i8")
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))


class StoreWriter:
    """Writes a store batch by batch; leaving the block without ``finish`` leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, unused_beside(path)
        self._sink: pa.OSFile | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def _opened(self) -> "tuple[pa.RecordBatchFileWriter, pa.OSFile]":
        """The file, made when it is first asked for: inside the block, whose end removes it whatever happens."""
        import pyarrow as pa

        if self._writer is None or self._sink is None:
            make_private(self._path.parent)
            self._temporary.touch(mode=0o600, exist_ok=False)
            self._sink = pa.OSFile(str(self._temporary), "wb")
            self._writer = pa.ipc.new_file(self._sink, schema())
        return self._writer, self._sink

    def write(self, batch: "pa.RecordBatch") -> None:
        """The next rows."""
        self._opened()[0].write_batch(batch)

    def finish(self, about: About) -> None:
        """Close the file and put it in its place."""
        writer, sink = self._opened()
        writer.close()
        sink.flush()
        sink.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self._path)
        write_atomically(self._path.with_suffix(".json"), msgspec.json.encode(about))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._sink is not None and not self._sink.closed:
            self._sink.close()
        self._temporary.unlink(missing_ok=True)
