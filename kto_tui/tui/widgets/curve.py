"""A curve of a chart: what it draws and what it is at an x."""

from collections.abc import Sequence
from dataclasses import dataclass

from kto_tui.tui.widgets.braille import Layer
from kto_tui.tui.widgets.path import Point
from kto_tui.tui.widgets.smoothing import merged, smoothed


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a chart.

    Attributes:
        points: pairs (x, y) in increasing x; a y that is None or NaN leaves a gap. Kept, not copied.
        style: colour and pattern, see ``line_styles.LINES``.
        means: what smoothing and the cursor take where several points share an x; without it, the mean of these.
    """

    name: str
    points: Sequence[Point]
    style: int = 0
    means: Sequence[Point] | None = None

    def known(self) -> list[tuple[float, float]]:
        """Its values, one where several points share an x."""
        return [(x, y) for x, y in merged(self.means or self.points) if y is not None]


def layers(curves: Sequence[Curve], smoothing: float) -> list[Layer]:
    """What is drawn, the topmost last. ``smoothing``: weight of the moving average; 0 for none."""
    if not smoothing:
        return [Layer(curve.points, curve.style) for curve in curves]
    return [
        *(Layer(curve.points, curve.style, raw=True) for curve in curves),
        *(Layer(smoothed(curve.means or curve.points, smoothing), curve.style) for curve in curves),
    ]


def reading_at(curves: Sequence[Curve], at: float, x_name: str) -> str:
    """The values nearest to ``at`` of all curves that have any; see ``Chart.reading``."""
    found = [
        (curve.name, *min(known, key=lambda point: abs(point[0] - at))) for curve in curves if (known := curve.known())
    ]
    if not found:
        return ""
    x = min((x for _, x, _ in found), key=lambda x: abs(x - at))
    values = (f"{name} {y:.4g}" + (f" at {there:.7g}" if there != x else "") for name, there, y in found)
    return "  ".join([f"{x_name} {x:.7g}", *values])
