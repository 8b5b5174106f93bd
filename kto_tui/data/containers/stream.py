"""The unpacked bytes of one file, block by block, watched for change and for archives that would never end."""

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from kto_tui.data.containers.kind import BrokenFileError, Compression, place
from kto_tui.errors import UserError
from kto_tui.units import GIB, MIB

BLOCK_BYTES = 256 * 1024
# deflate reaches 1032:1, so a block of this size unpacks to 33 MiB at most
GZIP_BLOCK_BYTES = 32 * 1024
GZIP = b"\x1f\x8b"
# Feedback packs 3 to 20 times smaller; beyond these limits a file is a bomb, or is better unpacked first.
MOST_RATIO = 500
RATIO_FROM_BYTES = 64 * MIB
MOST_UNPACKED_BYTES = 256 * GIB

AGAIN = "Copy or download the file again"
_IRREGULAR = (
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip
_ERRORS: dict[type[Exception], tuple[str, str]] = {
    FileNotFoundError: ("There is no such data file", "Check the path; it is read from this machine"),
    PermissionError: ("You may not read this", "Change its permissions or copy it to a place of yours"),
}


def unreadable(path: Path, error: OSError | ValueError) -> UserError:
    """Why ``path`` cannot be opened."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return UserError("The link leads round in a circle", mend="Name the file itself", where=place(path))
    reason = error.strerror if isinstance(error, OSError) else error
    unknown = (f"The data file cannot be read ({reason or error})", "Check the path and its permissions")
    what, mend = _ERRORS.get(type(error), unknown)
    return UserError(what, mend=mend, where=place(path))


def look(path: Path) -> os.stat_result:
    """The status of a regular file or a folder.

    Raises:
        UserError: it is neither, or not to be looked at.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib raises on some names
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        what = next((name for test, name in _IRREGULAR if test(status.st_mode)), "something else")
        raise UserError(f"This is {what}, not a file", mend="Write what comes out of it into a file", where=place(path))
    return status


class Source:
    """Yields the blocks of ``path``, unpacked, as far as the file reached when it was opened.

    Attributes:
        size: on disk, when it was opened.
        position: bytes on disk that were read.
        unpacked: bytes that came out of these. Whoever reads ``raw`` itself keeps both.
        raw: the open file.

    Raises:
        UserError: it cannot be opened.
        BrokenFileError: while iterating.
    """

    def __init__(self, path: Path, compression: Compression = "") -> None:
        self.path = path
        self.compression = compression
        if stat.S_ISDIR(look(path).st_mode):
            raise UserError("This is a folder where a file should be", mend="Name a file", where=place(path))
        try:
            # Never waits, whatever the name was replaced by in between.
            self.raw: BinaryIO = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise unreadable(path, error) from None
        status = os.fstat(self.raw.fileno())
        self._identity = _identity(status)
        self.size = status.st_size
        self.position = 0
        self.unpacked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raw.close()

    def __iter__(self) -> Iterator[bytes]:
        for block in {"": self._plain, "gzip": self._gzip, "zstd": self._zstd}[self.compression]():
            if self.compression:
                self.unpacked += len(block)
                self.require_bounded(self.unpacked)
            yield block

    def require_bounded(self, unpacked: int, packed: int | None = None) -> None:
        """Refuse a file that unpacks to more than any feedback does. ``packed``: into how many bytes; those read."""
        packed = self.position if packed is None else packed
        dense = unpacked > MOST_RATIO * packed and unpacked > RATIO_FROM_BYTES
        if dense or unpacked > MOST_UNPACKED_BYTES:
            times = f"more than {MOST_RATIO} times its size" if dense else f"more than {MOST_UNPACKED_BYTES // GIB} GiB"
            raise BrokenFileError(f"The file unpacks to {times}", mend="Unpack it yourself and name what comes out")

    def verify(self) -> None:
        """Refuse what was read of a file that changed meanwhile."""
        try:
            same = _identity(os.stat(self.path)) == self._identity  # noqa: PTH116 - as above
        except OSError:
            same = False
        if not same:
            mend = "Wait until nothing writes to it any more, then read it again"
            raise UserError("The file changed while it was read", mend=mend, where=place(self.path))

    def _read(self, size: int) -> bytes:
        try:
            block = self.raw.read(min(size, self.size - self.position))
        except OSError as error:
            raise BrokenFileError(f"The file cannot be read on ({error.strerror})", mend=AGAIN) from None
        self.position += len(block)
        return block

    def _plain(self) -> Iterator[bytes]:
        while block := self._read(BLOCK_BYTES):
            yield block

    def _gzip(self) -> Iterator[bytes]:
        member = None
        rest = b""
        while block := self._read(GZIP_BLOCK_BYTES):
            rest += block
            while rest:
                if member is None:
                    rest = rest.lstrip(b"\0")  # gzip files may be padded
                    if not rest.startswith(GZIP[: len(rest)]):
                        raise BrokenFileError("Something that is not gzip follows the gzip data", mend=AGAIN)
                    if len(rest) < len(GZIP):
                        break
                    member = zlib.decompressobj(31)
                try:
                    unpacked = member.decompress(rest)
                except zlib.error as error:
                    raise BrokenFileError(f"The gzip data are damaged ({error})", mend=AGAIN) from None
                rest = member.unused_data
                if member.eof:
                    member = None
                if unpacked:
                    yield unpacked
        if member is not None or rest:
            raise BrokenFileError("The gzip data end in the middle", mend=AGAIN)

    def _zstd(self) -> Iterator[bytes]:
        import pyarrow as pa

        stream = pa.CompressedInputStream(pa.PythonFile(self.raw, "r"), "zstd")
        try:
            # Small reads: what precedes damage within one read is lost.
            while block := stream.read(64 * 1024):
                self.position = min(self.raw.tell(), self.size)
                yield block
        except OSError as error:
            cut = "Truncated" in str(error)
            raise BrokenFileError(
                "The zstd data end in the middle" if cut else f"The zstd data are damaged ({error})", mend=AGAIN
            ) from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
