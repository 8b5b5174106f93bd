"""Which row is looked at: among all, or among those of one check."""

from collections.abc import Sequence


class RowCursor:
    """A place among rows that are numbered from 1.

    Attributes:
        number: of the row; 1 before there are any.
        index: among the rows of the check, counted from 0.
    """

    def __init__(self) -> None:
        self.number = 1
        self.index = 0
        self._rows: Sequence[int] = ()

    def enter(self, rows: Sequence[int]) -> None:
        """Walk these rows only, from the first; all rows when there are none."""
        self._rows, self.index = rows, 0
        if rows:
            self.number = rows[0]

    def move(self, by: int, total: int) -> None:
        """So many rows further, no further than the first and the last of ``total``."""
        if self._rows:
            self.index = max(0, min(self.index + by, len(self._rows) - 1))
            self.number = self._rows[self.index]
        else:
            self.go(self.number + by, total)

    def go(self, number: int, total: int) -> None:
        """To the row of that number, or the nearest."""
        self.number = max(1, min(number, total))
        if number in self._rows:
            self.index = self._rows.index(number)

    def ahead(self, by: int, total: int) -> int | None:
        """Number of the row so many further; None beyond the last."""
        if self._rows:
            at = self.index + by
            return self._rows[at] if at < len(self._rows) else None
        return self.number + by if self.number + by <= total else None
