"""From points to the dot columns that they cross: the stretch of a curve inside a window of x."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kto_tui.tui.widgets.axis import LIMIT, drawable_above, height

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Window:
    """The x at the left and at the right edge, in the unit of the points' x."""

    x_min: float
    x_max: float

    def column(self, x: float, columns: int) -> int:
        """The column nearest to an ``x`` inside, of ``columns`` whose first and last lie on the edges."""
        return int((x - self.x_min) / (self.x_max - self.x_min or 1.0) * max(columns - 1, 0) + 0.5)


@dataclass(slots=True)
class Span:
    """An unbroken stretch of points that share one dot column."""

    column: int
    first: float
    last: float
    low: float
    high: float
    joined: bool  # to the span before it


def spans(points: Iterable[Point], window: Window, columns: int, *, log: bool = False) -> list[Span]:
    """What ``points``, pairs (x, y) in increasing x, draw in ``columns`` dot columns.

    A y that is None, NaN, infinite or, on a logarithmic axis, not above zero is a gap. A line to a point outside the
    window is drawn as far as the edge.
    """
    x_min, x_max = window.x_min, window.x_max
    if not -LIMIT <= x_min <= x_max <= LIMIT:
        return []
    found: list[Span] = []
    lowest = drawable_above(log=log)
    length, last = x_max - x_min or 1.0, max(columns - 1, 0)
    before: tuple[float, float] | None = None  # the point that the next one is joined to
    for x, y in points:
        if y is None or not (lowest < y < LIMIT and -LIMIT < x < LIMIT):
            before = None
            continue
        point = (x, y)
        if before is not None and before[0] < x_min:
            if x > x_min:
                _place(found, 0, _between(before, point, x_min, log=log), joined=False)
            else:
                before = None  # no part of the line to it is seen
        if x > x_max:
            if before is not None and x_min < x_max:
                _place(found, last, _between(before, point, x_max, log=log), joined=True)
            break
        if x >= x_min:
            _place(found, int((x - x_min) / length * last + 0.5), y, joined=before is not None)
        before = point
    return found


def _place(found: list[Span], column: int, y: float, *, joined: bool) -> None:
    span = found[-1] if joined else None
    if span is None or span.column != column:
        found.append(Span(column, y, y, y, y, joined))
        return
    span.last = y
    if y < span.low:
        span.low = y
    elif y > span.high:
        span.high = y


def _between(one: tuple[float, float], other: tuple[float, float], x: float, *, log: bool) -> float:
    """The y at ``x`` of the line that joins two points."""
    share = (x - one[0]) / (other[0] - one[0])
    start, end = height(one[1], log=log), height(other[1], log=log)
    y = start + (end - start) * share
    low, high = min(one[1], other[1]), max(one[1], other[1])
    return min(max(math.pow(10.0, y) if log else y, low), high)
