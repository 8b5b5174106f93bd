"""Smoothing of noisy curves: the debiased exponential moving average that TensorBoard draws."""

from collections.abc import Iterable, Iterator

from kto_tui.tui.widgets.axis import LIMIT
from kto_tui.tui.widgets.path import Point

_MOST = 0.999


def clamped(weight: float) -> float:
    """The nearest weight that smooths: from 0, not at all, to 0.999."""
    return min(max(0.0, weight), _MOST)


def smoothed(points: Iterable[Point], weight: float) -> Iterator[Point]:
    """The moving average of ``points``, those that share an x taken as one.

    Args:
        points: pairs (x, y) in increasing x; a y that is None or not finite stays a gap and changes nothing.
        weight: share of the average that comes from the points before, from 0 to below 1.
    """
    average, seen = 0.0, 1.0  # seen: the share of the average that stands for no point yet
    for x, y in merged(points):
        if y is None:
            yield x, None
            continue
        average = average * weight + y * (1 - weight)
        seen *= weight
        yield x, average / (1 - seen)


def merged(points: Iterable[Point]) -> Iterator[Point]:
    """One point for those that share an x: the mean of their values that can be drawn; None without any."""
    at: float | None = None
    total, count = 0.0, 0
    for x, y in points:
        if x != at:
            if at is not None:
                yield at, total / count if count else None
            at, total, count = x, 0.0, 0
        if y is not None and -LIMIT < y < LIMIT:
            total += y
            count += 1
    if at is not None:
        yield at, total / count if count else None
