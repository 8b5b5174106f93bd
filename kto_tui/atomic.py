"""Files that are either whole or absent, who may read them, and what tells that a line is not whole."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk and rename it into place."""
    with atomic_file(path) as file:
        file.write(content)


def unused_beside(path: Path) -> Path:
    """A hidden name beside ``path`` for what shall be renamed to it; nothing is made.

    A signal's exception can arise at any instant. Who has the name before there is a file of that name, and makes it
    inside the ``try`` that removes it, leaves nothing behind; between ``mkstemp`` and a ``try`` something would stay.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to read and write beside ``path``; when the block ends well it is flushed to disk and renamed into place.

    Raises:
        OSError: it cannot be made or written; nothing is left behind.
    """
    temporary = unused_beside(path)
    try:
        with open(temporary, "x+b", opener=_privately) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def as_usual(mode: int) -> int:
    """``mode`` without what this process's umask denies: as other new files have it, not for their owner alone."""
    before = os.umask(0o077)  # umask(2) tells it only in exchange, and another thread may make a file just then
    os.umask(before)
    return mode & ~before


def ends_torn(descriptor: int) -> bool:
    """Whether the last line of an open file was cut off: it has no line break."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
