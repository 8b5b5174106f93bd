"""Curves as a picture: SVG 1.1 that any browser shows, told apart by colour and by line style."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import NamedTuple
from xml.sax.saxutils import escape

# Eight colours that people with any colour vision tell apart (Okabe and Ito, 2008), less yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "2 7", "14 4")
WIDTH, HEIGHT = 480, 300  # px of one panel
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 40  # px between its edge and its axes
LEGEND_ROW = 16  # px
NAME_LENGTH = 30
TICKS = 5
DOTTED = 12  # values of a curve up to which each is marked
FONTS = "DejaVu Sans, Liberation Sans, Noto Sans, Helvetica, Arial, sans-serif"
Points = Sequence[tuple[float, float | None]]


class Line(NamedTuple):
    """A named curve; ``style`` picks its colour and its dashes."""

    name: str
    points: Points
    style: int = 0


class Panel(NamedTuple):
    """Curves on one pair of axes."""

    title: str
    lines: Sequence[Line]
    x_title: str = "step"


class _Axis(NamedTuple):
    low: float
    high: float
    start: float  # px of ``low``
    end: float  # px of ``high``

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers on the axis."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def _axis(values: list[float], start: float, end: float, margin: float) -> _Axis:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10
    spare = margin * (high - low)
    return _Axis(low - spare, high + spare, start, end)


def draw(title: str, panels: Sequence[Panel], *, across: int = 2) -> str:
    """``panels`` side by side under ``title``, as the text of an SVG file."""
    across = min(across, len(panels))
    heights = [_height(panel) for panel in panels]
    rows = [max(heights[i : i + across]) for i in range(0, len(panels), across)]
    width, height = across * WIDTH, 40 + sum(rows)
    sizes = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {sizes} font-family="{FONTS}" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{_text(title, 100)}</text>',
    ]
    for index, panel in enumerate(panels):
        row, column = divmod(index, across)
        body.append(f'<g transform="translate({column * WIDTH} {40 + sum(rows[:row])})">')
        body += _panel(panel)
        body.append("</g>")
    return "\n".join([*body, "</svg>", ""])


def _legend_rows(panel: Panel) -> int:
    return math.ceil(len(panel.lines) / 2) if len(panel.lines) > 1 else 0


def _height(panel: Panel) -> int:
    return HEIGHT + LEGEND_ROW * _legend_rows(panel)


def _panel(panel: Panel) -> Iterator[str]:
    known = [(x, y) for line in panel.lines for x, y in line.points if y is not None and math.isfinite(y)]
    top, bottom = TOP + LEGEND_ROW * _legend_rows(panel), _height(panel) - BOTTOM
    across = _axis([x for x, _ in known], LEFT, WIDTH - RIGHT, 0.0)
    up = _axis([y for _, y in known], bottom, top, 0.05)
    yield f'<text x="{LEFT}" y="20" font-weight="bold">{_text(panel.title, 60)}</text>'
    if not known:
        yield f'<text x="{WIDTH / 2:.0f}" y="{(top + bottom) / 2:.0f}" text-anchor="middle" fill="#666">no data</text>'
        return
    for y in up.ticks():
        at = f"{up.at(y):.1f}"
        yield f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{up.at(y) + 4:.1f}" text-anchor="end">{_number(y)}</text>'
    for x in across.ticks():
        yield f'<text x="{across.at(x):.1f}" y="{bottom + 16}" text-anchor="middle">{_number(x)}</text>'
    yield f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#222"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle:.0f}" y="{bottom + 32}" text-anchor="middle">{_text(panel.x_title, 40)}</text>'
    for line in panel.lines:
        yield f'<path d="{_path(line.points, across, up)}" {_stroke(line.style)}/>'
        yield from _dots(line, across, up)
    if len(panel.lines) > 1:
        yield from chain.from_iterable(_legend(index, line) for index, line in enumerate(panel.lines))


def _legend(index: int, line: Line) -> Iterator[str]:
    x, y = LEFT + (index % 2) * (WIDTH - LEFT) // 2, 36 + LEGEND_ROW * (index // 2)
    yield f'<path d="M{x} {y - 4}H{x + 28}" {_stroke(line.style)}/>'
    yield f'<text x="{x + 34}" y="{y}" font-size="11">{_text(line.name, NAME_LENGTH)}</text>'


def _stroke(style: int) -> str:
    dashes = DASHES[style % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'fill="none" stroke="{COLOURS[style % len(COLOURS)]}" stroke-width="1.6" stroke-linejoin="round"{dashed}'


def _path(points: Points, across: _Axis, up: _Axis) -> str:
    """Line segments, with gaps where a value is not known; at most two points for each pixel across."""
    parts: list[str] = []
    pen = "M"
    for x, column in groupby(points, lambda point: round(across.at(point[0]), 0)):
        values = [y for _, y in column if y is not None and math.isfinite(y)]
        if not values:
            pen = "M"
            continue
        for y in (min(values), max(values))[: 1 if min(values) == max(values) else 2]:
            parts.append(f"{pen}{x:.0f} {up.at(y):.1f}")
            pen = "L"
    return "".join(parts)


def _dots(line: Line, across: _Axis, up: _Axis) -> Iterator[str]:
    """Where a few values are all there is, each is marked: one alone makes no line."""
    known = [(x, y) for x, y in line.points if y is not None and math.isfinite(y)]
    for x, y in known if len(known) <= DOTTED else []:
        yield f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3" fill="{COLOURS[line.style % len(COLOURS)]}"/>'


def _number(value: float) -> str:
    text = f"{value:.4g}"
    return "0" if float(text) == 0 else text.replace("e+0", "e").replace("e-0", "e-")


def _text(text: str, limit: int) -> str:
    """For XML: escaped, without what XML cannot hold, and no longer than there is room for."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return escape(shown if len(shown) <= limit else shown[: limit - 1] + "…")
