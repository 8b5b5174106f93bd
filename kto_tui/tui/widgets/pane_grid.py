"""The charts of the live screen: which are shown, which the keys act on, and which stretch of x they show."""

import math
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container

from kto_tui.methods import Method
from kto_tui.runs.curves import Curves
from kto_tui.runs.state import RunState
from kto_tui.tui.panes import MINUTE, PANES, Axis, Pane
from kto_tui.tui.widgets.axis import GUTTER
from kto_tui.tui.widgets.chart import Chart
from kto_tui.tui.x_view import XView

COLUMNS, ROWS = (38, 2, 3), (12, 2, 3)  # cells that one more chart needs, charts at least and at most
SMOOTHING = (0.0, 0.6, 0.9)  # off, light, strong


class PaneGrid(Container):
    """As many panes as there is room for; the others are on further pages.

    Args:
        plain: 7-bit characters only.
        method: that the run trains with.
    """

    def __init__(self, *, plain: bool = False, method: Method = "kto") -> None:
        super().__init__(id="charts")
        self._plain, self._method = plain, method
        self._curves, self._state = Curves(), RunState()
        self._views: dict[Axis, XView] = {"step": XView(), "min": XView(smallest=0.5)}
        self._chosen = PANES[0]
        self._zoomed = False
        self._cursor: float | None = None
        self._shown: Sequence[Pane] = ()
        self._drawn: dict[str, tuple[object, ...]] = {}

    def compose(self) -> ComposeResult:
        """A chart for every pane there may be."""
        for pane in PANES:
            yield Chart(pane.title, ascii_only=self._plain, x_name=pane.axis, most=pane.most, id=pane.key)

    def show(self, curves: Curves, state: RunState) -> None:
        """Draw what there is by now; only panes whose points are new are looked at."""
        self._curves, self._state = curves, state
        gauged = curves.gauges["process_bytes"]
        minutes = gauged[-1].last / MINUTE if len(gauged) else 0.0
        # Doubling the axis now and then repaints far less than stretching it at every point.
        room = 2.0 ** math.ceil(math.log2(max(1.0, minutes)))
        self._views["step"] = self._views["step"].grown(float(state.total_steps or 1), float(state.step))
        self._views["min"] = self._views["min"].grown(room, minutes)
        self._arrange()

    @property
    def _present(self) -> list[Pane]:
        return [pane for pane in PANES if pane.present(self._curves, self._method)]

    @property
    def _page_size(self) -> tuple[int, int]:
        """Columns and rows of charts."""
        sizes = zip(self.size, (COLUMNS, ROWS), strict=True)
        columns, rows = (min(max(cells // each, least), most) for cells, (each, least, most) in sizes)
        return columns, rows

    def _arrange(self) -> None:
        """Put the panes in sight that belong there, and draw them."""
        present, (columns, rows) = self._present, self._page_size
        if self._chosen not in present:
            self._chosen = present[0]
        first = present.index(self._chosen) // (columns * rows) * columns * rows
        shown = [self._chosen] if self._zoomed else present[first : first + columns * rows]
        if shown != self._shown:
            self._shown, self._drawn = shown, {}
            for pane in PANES:
                self._chart(pane).display = pane in shown
        across = min(columns, len(shown))
        self.styles.grid_size_columns, self.styles.grid_size_rows = across, math.ceil(len(shown) / across)
        for pane in shown:
            self._draw(pane)

    def _chart(self, pane: Pane) -> Chart:
        return self.query_one(f"#{pane.key}", Chart)

    def _draw(self, pane: Pane) -> None:
        state, chart, (left, right) = self._state, self._chart(pane), self._views[pane.axis].edges
        chart.chosen = pane is self._chosen
        chart.cursor = self._cursor if pane is self._chosen else None
        of_steps = (state.last_step, state.evaluations[-1:], state.resumed)
        mark = (left, right, *((state.gauges, state.allocator) if pane.axis == "min" else of_steps))
        if self._drawn.get(pane.key) != mark:
            self._drawn[pane.key] = mark
            chart.show(pane.curves(self._curves), right, pane.latest(state, self._curves), x_min=left)

    def on_resize(self) -> None:
        """More or fewer charts have room."""
        self._arrange()

    def choose(self, by: int) -> None:
        """The keys act on the next pane, or on the one before."""
        present = self._present
        self._choose(present[(present.index(self._chosen) + by) % len(present)])

    def turn_page(self, by: int) -> None:
        """The next panes, or those before."""
        present, (columns, rows) = self._present, self._page_size
        size = 1 if self._zoomed else columns * rows
        pages = math.ceil(len(present) / size)
        self._choose(present[(present.index(self._chosen) // size + by) % pages * size])

    def _choose(self, pane: Pane) -> None:
        if pane.axis != self._chosen.axis:
            self._cursor = None
        self._chosen = pane
        self._arrange()

    def zoom(self) -> None:
        """The chosen pane takes the whole area, or gives it back."""
        self._zoomed = not self._zoomed
        self._arrange()

    def give_back(self) -> bool:
        """Take away the cursor, else the zoom; False when there was neither."""
        if self._cursor is not None:
            self._cursor = None
        elif self._zoomed:
            self._zoomed = False
        else:
            return False
        self._arrange()
        return True

    def turn_log(self) -> None:
        """A logarithmic axis for the chosen pane, or a linear one."""
        chart = self._chart(self._chosen)
        chart.log_scale = not chart.log_scale

    def smooth(self) -> None:
        """The chosen pane: off, light, strong."""
        chart = self._chart(self._chosen)
        chart.smoothing = SMOOTHING[(SMOOTHING.index(chart.smoothing) + 1) % len(SMOOTHING)]

    def move_cursor(self, by: int) -> None:
        """One column of the chosen chart to the right, or to the left; the first time to the newest point."""
        view = self._views[self._chosen.axis]
        left, right = view.edges
        if self._cursor is None:
            self._cursor = min(max(view.newest, left), right)
        else:
            column = (right - left) / max(1, self._chart(self._chosen).size.width - GUTTER)
            at = self._cursor + by * (max(1.0, column) if self._chosen.axis == "step" else column)
            self._cursor = min(max(at, 0.0), view.total)
        self._views[self._chosen.axis] = view.held(self._cursor)
        self._arrange()

    def zoom_x(self, factor: float) -> None:
        """Show ``factor`` times as much of x, around the cursor where there is one."""
        axis = self._chosen.axis
        self._views[axis] = self._views[axis].zoomed(factor, self._cursor)
        self._arrange()

    def follow(self) -> str:
        """Follow the newest point, or stand; returns what it does now, in words."""
        axis = self._chosen.axis
        if self._views[axis].length is None:
            return "All of it is in sight; + shows a part."
        self._views[axis] = self._views[axis].turned()
        self._arrange()
        return "The newest point stays in sight." if self._views[axis].follows else "The curves stand still."

    def reading(self) -> str:
        """What is at the cursor."""
        return self._chart(self._chosen).reading()
