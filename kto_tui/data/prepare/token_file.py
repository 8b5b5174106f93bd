"""Token ids of all rows as one flat array, in memory or in a file that is mapped into it; a row is read when asked for.

The file: SHA-256 of what follows; the ids of all rows, prompt before completion, as int32; the columns of ``COLUMNS``;
the key of the rows and how many rows and ids there are. Numbers are in the machine's own byte order.
"""

import contextlib
import hashlib
import mmap
import struct
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import overload

from kto_tui.atomic import atomic_file
from kto_tui.data.prepare.tokens import TokenRow
from kto_tui.paths import keep_newest, make_private

KEPT_FILES = 8
LEFT_OVER_SECONDS = 3600
DIGEST_BYTES = 32
# line, digest of the completion, tokens of the prompt, tokens in all, lost tokens, label
COLUMNS = "QQIIIB"
_tail = struct.Struct(f"{DIGEST_BYTES}sQQ")


class TokenRows(Sequence[TokenRow]):
    """Tokenised rows; those of a file stay on disk until they are asked for.

    Attributes:
        lines: of the data file, by row.
        digests: 64 bits that are equal for rows of equal completions, by row.
        prompts: tokens of the prompt, by row.
        lengths: tokens of prompt and completion together, by row.
        lost: as ``TokenRow.lost_prompt``, by row.
        labels: 1 for desirable, by row.
    """

    def __init__(self, ids: memoryview, columns: Sequence[memoryview]) -> None:
        self._ids = ids
        self.lines, self.digests, self.prompts, self.lengths, self.lost, self.labels = columns
        self._starts = array("Q", accumulate(self.lengths, initial=0))

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, index: int) -> TokenRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TokenRow, ...]: ...
    def __getitem__(self, index: int | slice) -> TokenRow | tuple[TokenRow, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        start, label = self._starts[index], bool(self.labels[index])
        ids = tuple(self._ids[start : start + self.lengths[index]].tolist())
        first = self.prompts[index]
        return TokenRow(self.lines[index], label, ids[:first], ids[first:], self.lost[index])

    def completion(self, index: int) -> memoryview:
        """Ids of the completion, not copied."""
        start = self._starts[index]
        return self._ids[start + self.prompts[index] : start + self.lengths[index]]


def _collect(rows: Iterable[TokenRow], put: Callable[[bytes], object]) -> tuple["array[int]", ...]:
    """Give the ids of each row to ``put``; the columns of all rows."""
    columns = tuple(array(code) for code in COLUMNS)
    for row in rows:
        completion = array("i", row.completion_ids).tobytes()
        digest = int.from_bytes(hashlib.blake2b(completion, digest_size=8).digest())
        put(array("i", row.prompt_ids).tobytes() + completion)
        values = (row.line, digest, len(row.prompt_ids), row.length, row.lost_prompt, row.label)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return columns


def in_memory(rows: Iterable[TokenRow]) -> TokenRows:
    """``rows`` without a file."""
    ids = array("i")
    columns = _collect(rows, ids.frombytes)
    return TokenRows(memoryview(ids), [memoryview(column) for column in columns])


def open_tokens(path: Path, key: str) -> TokenRows | None:
    """The rows of ``key`` in the file at ``path``; None when it is absent, damaged or another's."""
    try:
        with path.open("rb", buffering=0) as file:
            digest = file.read(DIGEST_BYTES)
            # Read, not looked at through the map: pages of a map count as this process's memory.
            if hashlib.file_digest(file, "sha256").digest() != digest:
                return None
            with contextlib.suppress(OSError):
                path.touch()
            return _mapped(file.fileno(), key)
    except (OSError, ValueError, struct.error):
        return None


def write_tokens(path: Path, key: str, rows: Iterable[TokenRow]) -> TokenRows:
    """Write ``rows`` as they come, and map the file.

    Raises:
        OSError: it cannot be written.
    """
    digest = hashlib.sha256()
    make_private(path.parent)
    _remove_left_over(path.parent)
    with atomic_file(path) as file:

        def put(content: bytes) -> None:
            digest.update(content)
            file.write(content)

        file.write(bytes(DIGEST_BYTES))
        columns = _collect(rows, put)
        for column in columns:
            put(column.tobytes())
        put(_tail.pack(_key_bytes(key), len(columns[0]), sum(columns[3])))
        file.seek(0)
        file.write(digest.digest())
        file.flush()
        mapped = _mapped(file.fileno(), key)
    with contextlib.suppress(OSError):
        keep_newest(path.parent, "*.tokens", KEPT_FILES)
    return mapped


def _mapped(file: int, key: str) -> TokenRows:
    """The rows in an open file.

    Raises:
        OSError: it cannot be mapped.
        ValueError: it is another key's.
    """
    whole = memoryview(mmap.mmap(file, 0, access=mmap.ACCESS_READ))
    found, rows, ids = _tail.unpack(whole[-_tail.size :])
    sizes = [4 * ids, *(struct.calcsize(code) * rows for code in COLUMNS), _tail.size]
    if found != _key_bytes(key) or len(whole) != DIGEST_BYTES + sum(sizes):
        raise ValueError("another key's rows")
    places = list(accumulate(sizes, initial=DIGEST_BYTES))
    parts = [whole[start:end] for start, end in pairwise(places)]
    columns = [part.cast(code) for part, code in zip(parts[1:], COLUMNS, strict=False)]  # type: ignore[call-overload]
    return TokenRows(parts[0].cast("i"), columns)


def _key_bytes(key: str) -> bytes:
    """What in the file stands for ``key`` on machines of this byte order."""
    return hashlib.sha256(f"{key} {sys.byteorder}".encode()).digest()


def _remove_left_over(folder: Path) -> None:
    """Unfinished files of programs that were killed; one that is still written to is younger."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.tokens.*"):
            if time.time() - path.stat().st_mtime > LEFT_OVER_SECONDS:
                path.unlink(missing_ok=True)
