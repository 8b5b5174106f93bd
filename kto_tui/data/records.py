"""What containers yield: records as they are in the file, and places where there is none to be read."""

from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One object of a file.

    Attributes:
        line: where it begins, counted from 1; its row in files that have no lines (Parquet, Arrow).
        value: its fields; what CSV holds is text.
        file: index into the source's files.
    """

    line: int
    value: dict[str, Any]
    file: int = 0


class Unreadable(msgspec.Struct, frozen=True):
    """A place that holds no record. ``problem``: a clause that says why, ``line`` and ``file`` as of a record."""

    line: int
    problem: str
    file: int = 0
