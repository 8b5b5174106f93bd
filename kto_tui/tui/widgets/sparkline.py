"""A curve in one row of characters, for tables."""

from collections.abc import Sequence

from kto_tui.tui.widgets.axis import LIMIT

_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-~=+*#"


def sparkline(values: Sequence[float | None], width: int, ascii_only: bool) -> str:
    """``values`` from the first to the last in at most ``width`` cells, each the mean of those that share it.

    A cell whose values are all None, NaN or infinite is blank; equal values stand half-way up.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    cells = max(min(width, len(values)), 0)
    means = [_mean(values[i * len(values) // cells : (i + 1) * len(values) // cells]) for i in range(cells)]
    known = [mean for mean in means if mean is not None]
    if not known:
        return " " * cells
    low, high = min(known), max(known)
    flat, top = len(levels) // 2 - 1, len(levels) - 1

    def level(mean: float) -> int:
        return min(int((mean - low) / (high - low) * len(levels)), top) if high > low else flat

    return "".join(" " if mean is None else levels[level(mean)] for mean in means)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and -LIMIT < value < LIMIT]
    return sum(known) / len(known) if known else None
