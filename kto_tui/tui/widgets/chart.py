"""A bordered chart of curves that repaints only the cells that changed."""

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from kto_tui.tui.widgets.axis import GUTTER, label
from kto_tui.tui.widgets.braille import Plot, plot
from kto_tui.tui.widgets.cells import BLANK, MARKED, Row, changed, painted
from kto_tui.tui.widgets.curve import Curve, layers, reading_at
from kto_tui.tui.widgets.line_styles import LINES, RAW, STYLES, legend
from kto_tui.tui.widgets.path import Window
from kto_tui.tui.widgets.smoothing import clamped

__all__ = ["Chart", "Curve"]

_CORNERS = 6  # cells of a border beside its text
_LABEL = 1 + 2 * STYLES  # the number of cells of labels; below it 1 + the paint of a curve
_MARKERS = {False: "│", True: "|"}


class Chart(Widget):
    """Curves over the steps of a run, with the latest value in the title.

    Attributes:
        log_scale: a logarithmic y axis, on which values not above zero are gaps.
        smoothing: weight of the moving average that is drawn over each curve, 0 for none, to 0.999.
        cursor: x of a marker column, kept inside the window; None for none. ``reading`` says what is there.
        chosen: keys act on this chart.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--label", *(f"chart--curve-{i}" for i in range(STYLES))}
    DEFAULT_CSS = (
        """
    Chart {
        height: 1fr;
        border: round $foreground 40%;
        border-title-color: $text;
        border-subtitle-color: $text-muted;
        &.-ascii {
            border: ascii $foreground 40%;
        }
        & > .chart--label {
            color: $text-muted;
        }
    """
        + "".join(f"& > .chart--curve-{i} {{ color: {line.colour}; }}\n" for i, line in enumerate(LINES))
        + "}"
    )

    log_scale: reactive[bool] = reactive(False, repaint=False, init=False)
    smoothing: reactive[float] = reactive(0.0, repaint=False, init=False)
    cursor: reactive[float | None] = reactive(None, repaint=False, init=False)
    chosen: reactive[bool] = reactive(False, repaint=False, init=False)

    def __init__(
        self,
        title: str,
        *,
        ascii_only: bool = False,
        x_name: str = "step",
        most: float = math.inf,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title = title
        self._ascii_only = ascii_only
        self._x_name, self._most = x_name, most
        self._unit = "" if x_name == "step" else f" {x_name}"
        self.set_class(ascii_only, "-ascii")
        self._curves: Sequence[Curve] = ()
        self._latest = ""
        self._window: Window | None = None
        self._plot: Plot | None = None
        self._rows: tuple[Row, ...] = ()
        self._drawn_size = Size(0, 0)
        self._texts = (Content(), Content())
        self._write_border()

    def show(self, curves: Sequence[Curve], x_max: float, latest: str, *, x_min: float = 0.0) -> None:
        """Draw curves, later ones over earlier ones, and repaint what differs from what was drawn before.

        Args:
            curves: read again after a resize.
            x_max: right edge of the chart, such as the total number of steps of the run.
            latest: the latest value as the title shows it; may be empty.
            x_min: left edge of the chart.
        """
        self._curves, self._latest, self._window = curves, latest, Window(x_min, x_max)
        self._write_border()
        self._update(replot=True)

    def reading(self) -> str:
        """What the curves are at the cursor, or at their points nearest to it: ``step 132  loss 0.412``.

        Empty without a cursor or without data. A curve with no point at that x says at which its value is.
        """
        at = self._cursor_x()
        return "" if at is None else reading_at(self._curves, at, self._x_name)

    def validate_smoothing(self, weight: float) -> float:
        """The nearest weight that smooths."""
        return clamped(weight)

    def watch_log_scale(self) -> None:
        """Another axis: its range starts anew."""
        self._plot = None
        self._write_border()
        self._update(replot=True)

    def watch_smoothing(self) -> None:
        """Averages come, go or change."""
        self._write_border()
        self._update(replot=True)

    def watch_cursor(self) -> None:
        """The marker moves; curves stay."""
        self._update(replot=False)

    def watch_chosen(self) -> None:
        """The title says it."""
        self._write_border()

    def on_resize(self) -> None:
        """The border says what it has room for."""
        self._write_border()

    def render_line(self, y: int) -> Strip:
        """Render row ``y`` of the content area: the y label, then the curves."""
        if self.size != self._drawn_size:
            self._draw(replot=True)
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        return painted(self._rows[y], self._style)

    def _update(self, *, replot: bool) -> None:
        if self.size != self._drawn_size:
            self.refresh()
            return
        before = self._rows
        self._draw(replot=replot)
        if regions := [*changed(before, self._rows)]:
            self.refresh(*regions)

    def _draw(self, *, replot: bool) -> None:
        width, height = self._drawn_size = self.size
        if replot or self._plot is None:
            self._plot = plot(
                layers(self._curves, self.smoothing),
                self._window or Window(0.0, 0.0),
                columns=width - GUTTER,
                rows=height,
                ascii_only=self._ascii_only,
                y_range=self._plot.y_range if self._plot else None,
                log=self.log_scale,
                most=self._most,
            )
        self._rows = tuple(self._row(self._plot, y, width, height) for y in range(height))

    def _row(self, drawn: Plot, y: int, width: int, height: int) -> Row:
        y_range = drawn.y_range
        if y_range is None:
            text = self._nothing() if y == (height - 1) // 2 else ""
            return text.center(width)[:width], bytes([_LABEL]) * width
        # The top row comes first: a chart of one row shows the upper bound.
        left = label(y_range.high) if y == 0 else label(y_range.low) if y == height - 1 else " " * GUTTER
        line, paints = drawn.lines[y], bytearray(drawn.paints[y])
        at = self._cursor_x()
        if at is not None and line and self._window is not None:
            dots = 1 if self._ascii_only else 2
            column = self._window.column(at, dots * len(line)) // dots
            paints[column] |= MARKED
            if line[column] == " ":
                line = line[:column] + _MARKERS[self._ascii_only] + line[column + 1 :]
        return (left + line)[:width], (bytes([_LABEL]) * GUTTER + paints)[:width]

    def _nothing(self) -> str:
        if not any(curve.known() for curve in self._curves):
            return "no data yet"
        return f"{'nothing above 0' if self.log_scale else 'no data'} in this window"

    def _cursor_x(self) -> float | None:
        if self.cursor is None or self._window is None or math.isnan(self.cursor):
            return None
        return min(max(self.cursor, self._window.x_min), self._window.x_max)

    def _style(self, number: int) -> Style:
        if number & MARKED:
            return self._style(number - MARKED) + Style(reverse=number != MARKED)
        if number in {BLANK, _LABEL}:
            return self.get_component_rich_style("chart--label")
        paint = number - 1
        return self.get_component_rich_style(f"chart--curve-{paint % STYLES}") + Style(dim=paint >= RAW)

    def _write_border(self) -> None:
        marks = [
            *(["log"] if self.log_scale else []),
            *([f"smoothing {self.smoothing:.3g}"] if self.smoothing else []),
        ]
        text = "  ".join(part for part in (self._title, self._latest, ", ".join(marks)) if part)
        title = Content.styled(f">{text}<", "bold reverse") if self.chosen else Content(text)
        window = self._window
        edges = "" if window is None else f"{window.x_min:.7g} .. {window.x_max:.7g}" + self._unit
        names = [legend(curve.name, curve.style, ascii_only=self._ascii_only) for curve in self._curves]
        subtitle = Content("  ").join([Content(edges), *(names if len(names) > 1 else [])])
        if len(names) > 1 and subtitle.cell_length > self.outer_size.width - _CORNERS:
            subtitle = Content("  ").join(names)  # which curve is which matters more
        before, self._texts = self._texts, (title, subtitle)
        # The public border_title repaints the whole widget on every assignment and reads markup in the text.
        self._border_title, self._border_subtitle = title or None, subtitle or None
        width, height = self.outer_size
        # A title begins at the left, after a corner, a line and a space; a subtitle ends at the right.
        ends = (min(width, max(text.cell_length for text in (title, before[0])) + 4), width)
        for old, new, y, end in zip(before, self._texts, (0, height - 1), ends, strict=True):
            if not new.is_same(old):
                # Textual takes regions relative to the content area, so the border lies at negative offsets.
                self.refresh(Region(0, y, end, 1).translate(-self.content_offset))
