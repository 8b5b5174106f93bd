"""Curves drawn over each other with braille dots, or with 7-bit ASCII where braille is not available."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kto_tui.tui.widgets import line_styles
from kto_tui.tui.widgets.axis import YRange, fit_range, height
from kto_tui.tui.widgets.line_styles import RAW, STYLES
from kto_tui.tui.widgets.path import Point, Span, Window, spans

# Indexed by four bits, lowest bit = lowest dot of the cell.
_LEFT = tuple(sum(dot for i, dot in enumerate((0x40, 4, 2, 1)) if bits >> i & 1) for bits in range(16))
_RIGHT = tuple(sum(dot for i, dot in enumerate((0x80, 32, 16, 8)) if bits >> i & 1) for bits in range(16))
_BRAILLE = [chr(0x2800 + dots) for dots in range(256)]
_SOLID = (-1, 1)  # a character of its own tells a curve apart


class Layer(NamedTuple):
    """A curve to draw: its style, and whether it lies under its smoothed one."""

    points: Iterable[Point]
    style: int = 0
    raw: bool = False

    @property
    def paint(self) -> int:
        """The style, with ``RAW`` added where it applies."""
        return self.style % STYLES + RAW * self.raw


@dataclass(frozen=True, slots=True)
class Plot:
    """Drawn curves: ``rows`` lines of exactly ``columns`` characters, top line first.

    Attributes:
        paints: for each line, for each cell: 0 where it is blank, else 1 + the paint of its topmost layer.
        y_range: None without data.
    """

    lines: tuple[str, ...]
    paints: tuple[bytes, ...]
    y_range: YRange | None


def plot(
    layers: Sequence[Layer],
    window: Window,
    *,
    columns: int,
    rows: int,
    ascii_only: bool,
    y_range: YRange | None = None,
    log: bool = False,
    most: float = math.inf,
) -> Plot:
    """Draw ``layers``, later ones over earlier ones, and as much of them as lies in ``window``.

    Args:
        layers: their points are pairs (x, y) in increasing x; see ``spans`` for what is a gap.
        window: the x axis.
        columns: width of the plot in terminal cells.
        rows: height of the plot in terminal cells.
        ascii_only: draw 1 x 2 dots per cell in 7-bit ASCII instead of 2 x 4 braille dots.
        y_range: range of the previous drawing of the same curves, which ``fit_range`` keeps where it can.
        log: a logarithmic y axis.
        most: what no value exceeds, and so no axis.
    """
    across, down = (1, 2) if ascii_only else (2, 4)
    columns, rows = max(columns, 0), max(rows, 0)
    paths = [(layer.paint, spans(layer.points, window, columns * across, log=log)) for layer in layers]
    seen = [span for _, path in paths for span in path]
    y_range = fit_range(min(s.low for s in seen), max(s.high for s in seen), y_range, log=log) if seen else None
    if y_range is not None and y_range.low < most:
        y_range = YRange(y_range.low, min(y_range.high, most))
    drawn, paints = [" "] * (columns * rows), bytearray(columns * rows)
    if y_range is not None and drawn:
        upwards = range(columns * (rows - 1), -1, -columns)
        for paint, path in paths:
            pattern, ink = (
                (_SOLID, line_styles.characters(paint)) if ascii_only else (line_styles.dots(paint), _BRAILLE)
            )
            masks = _dots(path, y_range, columns * across, rows * down, *pattern, log=log)
            # The later curve has the cell to itself, so that no dot is of another curve's colour.
            for at, dots in (_ascii if ascii_only else _braille)(masks, columns, upwards):
                drawn[at], paints[at] = ink[dots], paint + 1
    cuts = [slice(row * columns, (row + 1) * columns) for row in range(rows)]
    return Plot(tuple("".join(drawn[cut]) for cut in cuts), tuple(bytes(paints[cut]) for cut in cuts), y_range)


def _dots(
    path: Sequence[Span], y_range: YRange, dot_columns: int, dot_rows: int, pattern: int, period: int, *, log: bool
) -> list[int]:
    """Return one bit mask per dot column, lowest bit = lowest dot row; ``pattern`` as ``line_styles.dots`` gives it."""
    masks = [0] * dot_columns
    bottom_y = height(y_range.low, log=log)
    scale = (dot_rows - 1) / (height(y_range.high, log=log) - bottom_y)

    def row(y: float) -> int:
        return min(max(int((height(y, log=log) - bottom_y) * scale + 0.5), 0), dot_rows - 1)

    column, last, phase = 0, 0, 0
    for span in path:
        bottom, top = row(span.low), row(span.high)
        if span.joined:
            across, up = span.column - column, row(span.first) - last
            steps = max(abs(across), abs(up))
            for i in range(1, steps):
                dot = pattern >> phase & 1
                phase = (phase + 1) % period
                masks[column + round(i * across / steps)] |= dot << (last + round(i * up / steps))
        else:
            phase = 0  # so that a point on its own is seen
        masks[span.column] |= (pattern >> phase & (2 << top - bottom) - 1) << bottom
        phase = (phase + top - bottom + 1) % period
        column, last = span.column, row(span.last)
    return masks


def _braille(masks: Sequence[int], columns: int, lines: range) -> Iterator[tuple[int, int]]:
    """The cells that have dots, each with its dots; ``lines``: where lines begin, the lowest first."""
    for column in range(columns):
        left, right = masks[2 * column], masks[2 * column + 1]
        for start in lines:
            if not (left or right):
                break
            if dots := _LEFT[left & 15] | _RIGHT[right & 15]:
                yield start + column, dots
            left, right = left >> 4, right >> 4


def _ascii(masks: Sequence[int], columns: int, lines: range) -> Iterator[tuple[int, int]]:
    """As ``_braille``, with the two dots of an ASCII cell."""
    for column in range(columns):
        mask = masks[column]
        for start in lines:
            if not mask:
                break
            if dots := mask & 3:
                yield start + column, dots
            mask >>= 2
