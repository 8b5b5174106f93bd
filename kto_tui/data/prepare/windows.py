"""Effective batches ("windows"): their order, their labels, their KL pairs, and how they are cut into packs."""

import random
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from kto_tui.data.prepare.tokens import TokenRow

Item = TypeVar("Item")


class PreparedRow(msgspec.Struct, frozen=True, array_like=True):
    """A row as the trainer takes it: cut to the length limit, with its mismatched completion.

    Attributes:
        line: of the data file.
        label: True for desirable.
        prompt_ids: tokens of the prompt.
        completion_ids: tokens of the judged answer, cut on the right.
        kl_completion_ids: tokens of another row's answer, cut on the right; empty when the loss has no KL term.
    """

    line: int
    label: bool
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    kl_completion_ids: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of prompt and completion together."""
        return len(self.prompt_ids) + len(self.completion_ids)


Window = tuple[PreparedRow, ...]


def _window_sizes(rows: int, size: int, least: int) -> list[int]:
    """Sizes that add up to ``rows``; a last window of fewer than ``least`` rows is merged into the one before."""
    sizes = [min(size, rows - start) for start in range(0, rows, size)]
    if len(sizes) > 1 and sizes[-1] < least:
        sizes[-2:] = [sizes[-2] + sizes[-1]]
    return sizes


def _desirable_per_window(sizes: list[int], desirable: int) -> list[int]:
    """How many desirable rows each window gets: in proportion, and none of one label only where that can be."""
    total, seen, given = sum(sizes), 0, 0
    shares = []
    for size in sizes:
        seen += size
        target = (2 * desirable * seen + total) // (2 * total)  # rounded share of all rows so far
        shares.append(min(size, target - given))
        given += shares[-1]
    for _ in range(desirable - given):  # what rounding left over goes where there is room
        shares[max(range(len(sizes)), key=lambda i: sizes[i] - shares[i])] += 1
    _spread(shares, sizes)
    missing = [size - share for size, share in zip(sizes, shares, strict=True)]
    _spread(missing, sizes)
    return [size - share for size, share in zip(sizes, missing, strict=True)]


def _spread(shares: list[int], sizes: list[int]) -> None:
    """Move single rows of one label from windows that have most of it to windows that have none, in place."""
    empty = [i for i, share in enumerate(shares) if share == 0 and sizes[i] > 1]
    for i in empty:
        # A giver keeps one of each label itself where it can: it must have two of this one.
        giver = max(range(len(shares)), key=lambda j: (shares[j], -abs(i - j)))
        if shares[giver] < 2:
            return
        shares[giver] -= 1
        shares[i] += 1


def mix_labels(
    rows: Sequence[int], *, labels: Sequence[int], lengths: Sequence[int], seed: int, size: int, least: int = 2
) -> list[list[int]]:
    """``rows`` in seeded random order as windows of ``size`` rows, the labels spread evenly over the windows.

    A last window of fewer than ``least`` rows is merged into the one before: a single row has no KL partner.
    No window holds one label only while the rarer label has a row for each. Inside a window the rows are sorted by
    length, so that rows of equal length are cut into the same pack; between windows the order stays random.

    Args:
        rows: indices into ``labels``, which are true or 1 for desirable, and ``lengths``.
        seed: of the order.
        size: rows per window.
        least: rows of the last window.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible order, not secrecy
    pools = {label: [row for row in rows if labels[row] == label] for label in (True, False)}
    for label in (True, False):
        rng.shuffle(pools[label])
    sizes = _window_sizes(len(rows), size, least)
    windows = []
    for window_size, desirable in zip(sizes, _desirable_per_window(sizes, len(pools[True])), strict=True):
        window = [pools[True].pop() for _ in range(desirable)]
        window += [pools[False].pop() for _ in range(window_size - desirable)]
        rng.shuffle(window)
        windows.append(sorted(window, key=lengths.__getitem__))
    return windows


def rotation(completions: Sequence[object]) -> int:
    """By how many rows the completions of a window are rotated to make its mismatched pairs: one, as in TRL.

    Where rows of the window have equal completions, the smallest rotation with the fewest rows that would meet their
    own text again. ``completions``: anything that is equal for equal ones.
    """
    count = len(completions)
    if count < 2:
        return 0

    def clashes(step: int) -> int:
        return sum(completions[i] == completions[i - step] for i in range(count))

    return min(range(1, count), key=lambda step: (clashes(step), step)) if clashes(1) else 1


def pair(window: Sequence[TokenRow], *, max_length: int, kl: bool) -> Window:
    """``window`` with each row's mismatched completion, both completions cut to ``max_length`` with the prompt.

    The set of mismatched completions is the set of matched ones, each under another prompt (TRL pull request #2153).
    """
    step = rotation([row.completion_ids for row in window]) if kl else 0
    return tuple(cut(row, window[i - step] if step else None, max_length=max_length) for i, row in enumerate(window))


def cut(row: TokenRow, other: TokenRow | None, *, max_length: int) -> PreparedRow:
    """``row`` with the completion of ``other``, if there is one, as its mismatched one."""
    room = max_length - len(row.prompt_ids)
    mismatched = () if other is None else other.completion_ids[:room]
    return PreparedRow(row.line, row.label, row.prompt_ids, row.completion_ids[:room], mismatched)


def deal(window: Sequence[Item], *, rank: int, ranks: int) -> tuple[Item, ...]:
    """The rows of ``window`` that ``rank`` of ``ranks`` trains on: every ranks-th, so that lengths are balanced."""
    return tuple(window[rank::ranks])


def packs(lengths: Sequence[int], *, max_rows: int, max_tokens: int | None = None) -> list[range]:
    """Cut a window into packs of neighbouring rows, each filled as far as the limits allow.

    Args:
        lengths: tokens per row, in window order.
        max_rows: rows per pack, the micro-batch.
        max_tokens: tokens per pack; a row longer than that gets a pack of its own.
    """
    cuts: list[range] = []
    start = 0
    tokens = 0
    for i, length in enumerate(lengths):
        full = i - start == max_rows or (max_tokens is not None and i > start and tokens + length > max_tokens)
        if full:
            cuts.append(range(start, i))
            start, tokens = i, 0
        tokens += length
    if start < len(lengths):
        cuts.append(range(start, len(lengths)))
    return cuts
