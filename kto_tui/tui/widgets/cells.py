"""Rows of a drawing, cell by cell: what changed between two of them, and how one is painted."""

from collections.abc import Callable, Iterator, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

# The characters of a row, and for each of them a number that says how it is painted.
Row = tuple[str, bytes]
BLANK = 0  # the number of a cell without ink
MARKED = 128  # added to the number of a cell whose background is seen
_APART = 8  # cells: jumping over fewer costs more bytes than writing them again


def changed(before: Sequence[Row], after: Sequence[Row]) -> Iterator[Region]:
    """The cells that differ, as few stretches of rows; both have the same number of rows of the same lengths."""
    for y, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        cells = zip(zip(*old, strict=True), zip(*new, strict=True), strict=True)
        differing = [x for x, (was, now) in enumerate(cells) if was != now]
        start = end = differing[0]
        for x in differing:
            if x - end > _APART:
                yield Region(start, y, end - start, 1)
                start = x
            end = x + 1
        yield Region(start, y, end - start, 1)


def painted(row: Row, style: Callable[[int], Style]) -> Strip:
    """``row`` in the style of each number; blanks go with what stands before them, which saves bytes."""
    text, paints = row
    segments: list[Segment] = []
    start = 0
    for x in range(1, len(text) + 1):
        if x < len(text) and (paints[x] == paints[start] or (paints[x] == BLANK and paints[start] < MARKED)):
            continue
        segments.append(Segment(text[start:x], style(paints[start])))
        start = x
    return Strip(segments, len(text))
