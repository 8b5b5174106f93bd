"""Prepared windows and rows that are put together from stored token ids when they are asked for."""

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from operator import eq
from typing import overload

from kto_tui.data.prepare.token_file import TokenRows
from kto_tui.data.prepare.windows import PreparedRow, Window, cut, pair


class Windows(Sequence[Window]):
    """Effective batches in training order.

    Args:
        rows: all rows.
        windows: indices into ``rows``.
        max_length: what both completions are cut to, with the prompt.
        kl: whether rows get a mismatched completion.
    """

    def __init__(self, rows: TokenRows, windows: Sequence[Sequence[int]], *, max_length: int, kl: bool) -> None:
        self._rows, self._max_length, self._kl = rows, max_length, kl
        self._order = array("Q", chain.from_iterable(windows))
        self._bounds = array("Q", accumulate(map(len, windows), initial=0))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Window, ...]: ...
    def __getitem__(self, index: int | slice) -> Window | tuple[Window, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]
        rows = [self._rows[row] for row in self._order[self._bounds[index] : self._bounds[index + 1]]]
        return pair(rows, max_length=self._max_length, kl=self._kl)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def row_count(self) -> int:
        """Rows in all windows."""
        return len(self._order)

    @property
    def desirable(self) -> int:
        """Rows labelled true among them."""
        return sum(self._rows.labels[row] for row in self._order)

    @property
    def bound(self) -> int:
        """Tokens that no row exceeds, whichever completion follows its prompt."""
        prompts, lengths = self._rows.prompts, self._rows.lengths
        prompt = max((prompts[row] for row in self._order), default=0)
        completion = max((lengths[row] - prompts[row] for row in self._order), default=0)
        return min(self._max_length, prompt + completion)

    def beyond(self, tokens: int) -> tuple[int, int]:
        """How many rows, with their own completion, have more ``tokens``, and the tokens of the longest."""
        lengths = [min(self._max_length, self._rows.lengths[row]) for row in self._order]
        return sum(length > tokens for length in lengths), max(lengths, default=0)

    @property
    def rows(self) -> "Rows":
        """All rows without mismatched completions, window after window."""
        return Rows(self._rows, self._order, max_length=self._max_length)


class Rows(Sequence[PreparedRow]):
    """Rows in the order of their windows, without mismatched completions.

    Args:
        rows: all rows.
        order: indices into ``rows``.
        max_length: what the completion is cut to, with the prompt.
    """

    def __init__(self, rows: TokenRows, order: Sequence[int], *, max_length: int) -> None:
        self._rows, self._order, self._max_length = rows, order, max_length

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> PreparedRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PreparedRow, ...]: ...
    def __getitem__(self, index: int | slice) -> PreparedRow | tuple[PreparedRow, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        return cut(self._rows[self._order[index]], None, max_length=self._max_length)


def longest(windows: Sequence[Window]) -> int:
    """Tokens that no row of ``windows`` exceeds, whichever completion follows its prompt."""
    if isinstance(windows, Windows):
        return windows.bound
    rows = chain.from_iterable(windows)
    return max((len(r.prompt_ids) + max(len(r.completion_ids), len(r.kl_completion_ids)) for r in rows), default=0)
