"""Curves drawn with braille dots, or with 7-bit ASCII where braille is not available."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LIMIT = 1e300  # beyond this the arithmetic on ranges would overflow; such values count as gaps
_TINY = 1e-100  # below this a spread or a size is zero: far from the denormals, where division goes wrong
_RELATIVE_TINY = 1e-9
_ROUNDING = 1e-9  # 1.1 / 0.05 is 22.000000000000004 and must not count as 23 grid steps
_HEADROOM = 0.05
_GRID_STEPS = 5
_SHRINK_BELOW = 0.4

# Indexed by four bits, lowest bit = lowest dot of the cell.
_LEFT = tuple(sum(dot for i, dot in enumerate((0x40, 4, 2, 1)) if bits >> i & 1) for bits in range(16))
_RIGHT = tuple(sum(dot for i, dot in enumerate((0x80, 32, 16, 8)) if bits >> i & 1) for bits in range(16))
_ASCII = " .':"


@dataclass(frozen=True, slots=True)
class YRange:
    """The values at the bottom (``low``) and at the top (``high``) of a plot, in data units."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn curve: ``rows`` lines of exactly ``columns`` characters, top line first."""

    lines: tuple[str, ...]
    y_range: YRange | None

    @property
    def low(self) -> float | None:
        """The value at the bottom of the plot in data units; None without data."""
        return self.y_range.low if self.y_range else None

    @property
    def high(self) -> float | None:
        """The value at the top of the plot in data units; None without data."""
        return self.y_range.high if self.y_range else None


@dataclass(slots=True)
class _Span:
    """An unbroken stretch of points that share one dot column."""

    column: int
    first: float
    last: float
    low: float
    high: float
    joined: bool  # to the span before it


def plot(
    points: Iterable[tuple[float, float | None]],
    *,
    columns: int,
    rows: int,
    x_max: float,
    ascii_only: bool,
    y_range: YRange | None = None,
) -> Plot:
    """Draw ``points``, pairs (x, y) in increasing x, on an x axis from 0 to ``x_max``.

    Args:
        points: a y that is None, NaN or infinite, or an x outside the axis, leaves a gap in the curve.
        columns: width of the plot in terminal cells.
        rows: height of the plot in terminal cells.
        x_max: x of the right edge, in the unit of the points' x.
        ascii_only: draw 1 x 2 dots per cell in 7-bit ASCII instead of 2 x 4 braille dots.
        y_range: range of the previous drawing of the same curve, which ``fit_range`` keeps where it can.
    """
    dots_across, dots_down = (1, 2) if ascii_only else (2, 4)
    dot_columns, dot_rows = max(columns, 0) * dots_across, max(rows, 0) * dots_down
    spans = _spans(points, x_max, dot_columns)
    if not spans:
        return Plot((" " * columns,) * rows, None)
    y_range = fit_range(min(span.low for span in spans), max(span.high for span in spans), y_range)
    if not dot_columns or not dot_rows:
        return Plot((" " * columns,) * rows, y_range)
    masks = _dots(spans, y_range, dot_columns, dot_rows)
    draw = _ascii_line if ascii_only else _braille_line
    return Plot(tuple(draw(masks, (rows - 1 - row) * dots_down) for row in range(rows)), y_range)


def fit_range(low: float, high: float, previous: YRange | None = None) -> YRange:
    """Return a range with rounded bounds around the data, which span ``low`` to ``high`` in data units.

    ``previous`` grows at once on a side that the data leave, and is given up for a tighter range only when
    the data use less than 40 % of it; otherwise it is returned as it is, so that the axis stands still.
    """
    tight = _rounded(low, high)
    if previous is None:
        return tight
    bottom, top = previous.low, previous.high
    if low < bottom or high > top:
        union = _rounded(min(low, bottom), max(high, top))
        bottom = union.low if low < bottom else bottom
        top = union.high if high > top else top
    if high - low < _SHRINK_BELOW * (top - bottom):
        return tight
    return YRange(bottom, top)


def _rounded(low: float, high: float) -> YRange:
    size = max(abs(low), abs(high))
    if high - low <= max(_RELATIVE_TINY * size, _TINY):
        margin = 0.1 * size if size > _TINY else 1.0
    else:
        margin = _HEADROOM * (high - low)
    step = _nice_step((high - low + 2 * margin) / _GRID_STEPS)
    bottom = math.floor((low - margin) / step + _ROUNDING) * step
    top = math.ceil((high + margin) / step - _ROUNDING) * step
    # Headroom must not suggest a sign that the data do not have.
    if low >= 0 and high > _TINY:
        bottom = max(bottom, 0.0)
    if high <= 0 and low < -_TINY:
        top = min(top, 0.0)
    return YRange(bottom, top)


def _nice_step(at_least: float) -> float:
    power = 10.0 ** math.floor(math.log10(at_least))
    return next((nice * power for nice in (1, 2, 2.5, 5) if nice * power >= at_least), 10 * power)


def _spans(points: Iterable[tuple[float, float | None]], x_max: float, dot_columns: int) -> list[_Span]:
    spans: list[_Span] = []
    open_span: _Span | None = None
    length, last_column = x_max or 1.0, max(dot_columns - 1, 0)
    for x, y in points:
        if y is None or not (-_LIMIT < y < _LIMIT and 0 <= x <= x_max):
            open_span = None
            continue
        column = int(x / length * last_column + 0.5)
        if open_span is None or column != open_span.column:
            open_span = _Span(column, y, y, y, y, joined=open_span is not None)
            spans.append(open_span)
            continue
        open_span.last = y
        if y < open_span.low:
            open_span.low = y
        elif y > open_span.high:
            open_span.high = y
    return spans


def _dots(spans: Sequence[_Span], y_range: YRange, dot_columns: int, dot_rows: int) -> list[int]:
    """Return one bit mask per dot column, lowest bit = lowest dot row."""
    masks = [0] * dot_columns
    scale = (dot_rows - 1) / (y_range.high - y_range.low)

    def row(y: float) -> int:
        return min(max(int((y - y_range.low) * scale + 0.5), 0), dot_rows - 1)

    column, last = 0, 0
    for span in spans:
        bottom, top = row(span.low), row(span.high)
        masks[span.column] |= (2 << top) - (1 << bottom)
        if span.joined:
            across, up = span.column - column, row(span.first) - last
            steps = max(abs(across), abs(up))
            for i in range(1, steps):
                masks[column + round(i * across / steps)] |= 1 << (last + round(i * up / steps))
        column, last = span.column, row(span.last)
    return masks


def _braille_line(masks: Sequence[int], lowest_dot: int) -> str:
    cells = (
        _LEFT[left >> lowest_dot & 15] | _RIGHT[right >> lowest_dot & 15]
        for left, right in zip(masks[::2], masks[1::2], strict=True)
    )
    return "".join(chr(0x2800 + cell) if cell else " " for cell in cells)


def _ascii_line(masks: Sequence[int], lowest_dot: int) -> str:
    return "".join(_ASCII[mask >> lowest_dot & 3] for mask in masks)
