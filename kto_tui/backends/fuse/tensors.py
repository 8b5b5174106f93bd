"""Tensors of safetensors files, one at a time: read where they lie, written one after the other.

Layout: 8 bytes little-endian length, a JSON header of names to dtype, shape and offsets, then the bytes
(https://github.com/huggingface/safetensors, README, "Format"). numpy has no bfloat16, so bytes are kept as they are and
only what is merged becomes float32.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kto_tui.errors import UserError

Raw = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
HEADER_BYTES = 100_000_000  # the safetensors library's own limit


class Entry(msgspec.Struct, frozen=True):
    """A tensor of a file: safetensors' name of its dtype, its shape, its bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.data_offsets[1] - self.data_offsets[0]


class Shard:
    """One safetensors file, opened for reading.

    Args:
        path: of the file.

    Attributes:
        entries: by name, in the order of their bytes.

    Raises:
        UserError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                table = json.loads(file.read(min(length, HEADER_BYTES)))
            table.pop("__metadata__", None)
            entries = msgspec.convert(table, dict[str, Entry])
            self._bytes: Raw = np.memmap(path, np.uint8, "r", offset=8 + length)
            if any(not 0 <= one.data_offsets[0] <= one.data_offsets[1] <= len(self._bytes) for one in entries.values()):
                raise ValueError("it ends too early")  # noqa: TRY301
        except (OSError, ValueError, AttributeError, msgspec.ValidationError, RecursionError) as error:
            raise UserError(f"Damaged ({error})", mend="Copy the file again", where=str(path)) from None
        self.entries = dict(sorted(entries.items(), key=lambda one: one[1].data_offsets))

    def raw(self, name: str) -> Raw:
        """The bytes of a tensor; read when they are used."""
        begin, end = self.entries[name].data_offsets
        return self._bytes[begin:end]

    def floats(self, name: str) -> Floats:
        """A tensor of F32, F16 or BF16 in its shape, as float32."""
        entry = self.entries[name]
        return to_float32(self.raw(name), entry.dtype).reshape(entry.shape)


def to_float32(raw: Raw, dtype: str) -> Floats:
    """Values of F32, F16 or BF16 bytes; exact."""
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return np.asarray(raw.view("<f4" if dtype == "F32" else "<f2"), np.float32)


def from_float32(values: Floats, dtype: str) -> Raw:
    """The bytes of finite ``values`` as F32, F16 or BF16, rounded to the nearest, ties to even."""
    values = np.ascontiguousarray(values, np.float32).reshape(-1)
    if dtype == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").view(np.uint8)
    with np.errstate(over="ignore"):  # whoever merges looks for what is not finite
        return values.astype("<f4" if dtype == "F32" else "<f2").view(np.uint8)


class Planned(msgspec.Struct, frozen=True):
    """A tensor to be written: its dtype and shape, and what makes its bytes when its turn comes."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    make: Callable[[], Raw]


def write_shard(path: Path, planned: Mapping[str, Planned], wrote: Callable[[int], None]) -> None:
    """Write a safetensors file a tensor at a time and flush it to disk.

    Args:
        path: of the new file.
        planned: by name; in this order.
        wrote: told the bytes of each tensor once it is written.

    Raises:
        OSError: the disk does not take it.
    """
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, one in planned.items():
        table[name] = {"dtype": one.dtype, "shape": one.shape, "data_offsets": [offset, offset + one.size]}
        offset += one.size
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with path.open("xb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for one in planned.values():
            file.write(one.make().data)
            wrote(one.size)
        file.flush()
        os.fsync(file.fileno())


def index(files: Iterable[tuple[str, Mapping[str, Planned]]]) -> dict[str, Any]:
    """``model.safetensors.index.json`` of (file name, its tensors)."""
    files = list(files)
    total = sum(one.size for _, planned in files for one in planned.values())
    names = {name: file for file, planned in files for name in planned}
    return {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}


def count(shape: Iterable[int]) -> int:
    """Values of a tensor of that shape."""
    return math.prod(shape)
