"""A bordered chart of one curve that repaints only the cells that changed."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from kto_tui.tui.widgets.braille import YRange, plot

_GUTTER = 7  # cells
_NO_DATA = "no data yet"


class Chart(Widget):
    """One curve over the steps of a run, with its latest value in the title."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--curve", "chart--label"}
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        border: round $foreground 40%;
        border-title-color: $text;
        border-subtitle-color: $text-muted;
        &.-ascii {
            border: ascii $foreground 40%;
        }
        & > .chart--curve {
            color: $primary;
        }
        & > .chart--label {
            color: $text-muted;
        }
    }
    """

    def __init__(
        self,
        title: str,
        *,
        ascii_only: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title = title
        self._ascii_only = ascii_only
        self.set_class(ascii_only, "-ascii")
        self._points: Sequence[tuple[float, float | None]] = ()
        self._x_max = 0.0
        self._y_range: YRange | None = None
        self._rows: tuple[str, ...] = ()
        self._drawn_size = Size(0, 0)
        self._texts = ("", "")
        self._set_texts(title, "")

    def show(self, points: Sequence[tuple[float, float | None]], x_max: float, latest: str) -> None:
        """Draw a curve and repaint what differs from the one before.

        Args:
            points: pairs (step, value) in increasing step; a value that is None or NaN leaves a gap. The
                sequence is kept, not copied, and is read again after a resize.
            x_max: total number of steps of the run, the right edge of the chart.
            latest: the latest value as the title shows it; may be empty.
        """
        self._points = points
        self._x_max = x_max
        self._set_texts(f"{self._title}  {latest}".rstrip(), f"0 .. {x_max:.15g}")
        if self.size != self._drawn_size:
            self.refresh()
            return
        before = self._rows
        self._draw()
        regions = [
            _changed(old, new, y) for y, (old, new) in enumerate(zip(before, self._rows, strict=True)) if old != new
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """Render row ``y`` of the content area: the y label, then the curve."""
        if self.size != self._drawn_size:
            self._draw()
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        row = self._rows[y]
        label = self.get_component_rich_style("chart--label")
        if self._y_range is None:
            return Strip([Segment(row, label)])
        curve = self.get_component_rich_style("chart--curve")
        return Strip([Segment(row[:_GUTTER], label), Segment(row[_GUTTER:], curve)])

    def _draw(self) -> None:
        width, height = self._drawn_size = self.size
        drawing = plot(
            self._points,
            columns=max(width - _GUTTER, 0),
            rows=height,
            x_max=self._x_max,
            ascii_only=self._ascii_only,
            y_range=self._y_range,
        )
        self._y_range = drawing.y_range
        if drawing.y_range is None:
            self._rows = tuple(
                (_NO_DATA if y == (height - 1) // 2 else "").center(width)[:width] for y in range(height)
            )
            return
        # The top row comes second: a chart of one row shows the upper bound.
        labels = {height - 1: _label(drawing.y_range.low)} | {0: _label(drawing.y_range.high)}
        self._rows = tuple(f"{labels.get(y, ''):{_GUTTER}}{line}"[:width] for y, line in enumerate(drawing.lines))

    def _set_texts(self, title: str, subtitle: str) -> None:
        old_title, old_subtitle = self._texts
        self._texts = (title, subtitle)
        # The public border_title repaints the whole widget on every assignment and reads markup in the text.
        if title != old_title:
            self._border_title = Content(title)
            self._refresh_border(0)
        if subtitle != old_subtitle:
            self._border_subtitle = Content(subtitle)
            self._refresh_border(self.outer_size.height - 1)

    def _refresh_border(self, y: int) -> None:
        # Textual takes regions relative to the content area, so the border lies at negative offsets.
        self.refresh(Region(0, y, self.outer_size.width, 1).translate(-self.content_offset))


def _changed(old: str, new: str, y: int) -> Region:
    """Return the cells of row ``y`` from the first to the last that differ."""
    differing = [x for x, (a, b) in enumerate(zip_longest(old, new)) if a != b]
    return Region(differing[0], y, differing[-1] - differing[0] + 1, 1)


def _label(value: float) -> str:
    """Return ``value`` in at most 7 characters, with a space after it where there is room."""
    for digits in range(6, 0, -1):
        text = f"{value:.{digits}g}"
        mantissa, _, exponent = text.partition("e")
        if exponent:
            text = f"{mantissa}e{int(exponent)}"
        if len(text) <= _GUTTER:
            break
    return text.rjust(_GUTTER - 1).ljust(_GUTTER)
