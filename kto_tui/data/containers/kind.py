"""What sniffing finds out about a data file, and how its place is written."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "saved", "folder"]
Compression = Literal["", "gzip", "zstd"]
TITLES: dict[str, str] = {
    "jsonl": "JSON lines", "json": "JSON", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet", "arrow": "Arrow IPC",
}  # fmt: skip
_QUOTED = 40  # characters


class Sniffed(msgspec.Struct, frozen=True, kw_only=True):
    """What a path holds and how it is read.

    Attributes:
        path: what was named.
        kind: ``saved``: a folder of ``Dataset.save_to_disk``; ``folder``: shards.
        title: for people.
        confidence: 0 to 1; 1 where the format says so itself.
        because: the reason, in words; what of a folder is not read is named here.
        files: member files in reading order; the one file where it is no folder.
        encoding: of text, a codec's name; of a folder, what its members share, else empty.
        compression: the same.
        bytes_total: size on disk of all files.
        delimiter: between the cells of CSV and TSV.
        members: each file of a folder as it was sniffed; empty for a file.
    """

    path: Path
    kind: Kind
    title: str
    confidence: float
    because: str
    files: tuple[Path, ...]
    encoding: str = "utf-8"
    compression: Compression = ""
    bytes_total: int
    delimiter: str = ""
    members: tuple["Sniffed", ...] = ()


class BrokenFileError(Exception):
    """A file cannot be trusted from here on. ``line``: where, None: after what was read last; ``UserError`` says it."""

    def __init__(self, what: str, *, mend: str, line: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.line = line


def require_unique(names: Sequence[str], line: int | None = None) -> None:
    """Refuse columns of the same name: a record could keep only one of them."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        what = f"Several columns have the same name: {', '.join(map(quoted, twice[:5]))}"
        raise BrokenFileError(what, mend="Give each column a name of its own", line=line)


def place(path: Path, line: int | None = None) -> str:
    """``file:line`` on one line of valid text, whatever bytes the name has."""
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"{printable(name)}:{line}" if line else printable(name)


def printable(text: str) -> str:
    """``text`` on one line; what cannot be shown is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """The beginning of ``text`` in quotes, on one line."""
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")
