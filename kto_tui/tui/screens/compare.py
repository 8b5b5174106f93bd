"""Two to six runs side by side: one curve of each in one chart, what came out, and where their choices differ."""

import threading
from collections.abc import Sequence
from typing import ClassVar, get_args

from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui import units
from kto_tui.runs.compare import HELDOUT, METRICS, curve, differences, outcome, outcome_rows
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.reading import Along, Reading
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.chart import Chart, Curve
from kto_tui.tui.widgets.line_styles import LINES, sample
from kto_tui.tui.wizard import KeyLine, is_open

POLL_SECONDS = 2.0
SMOOTHINGS = (0.0, 0.6, 0.9)
ALONG: tuple[Along, ...] = get_args(Along)
NAME_CELLS = 17  # of the table's first column


class CompareScreen(Screen[None]):
    """The runs as far as they have come; read on while they go on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,tab,right", "metric(1)", "Metric", key_display="n/b", tooltip="The next metric, the one before"),
        Binding("b,shift+tab,left", "metric(-1)", show=False),
        Binding("a", "along", "Axis", tooltip="Along steps, time or tokens"),
        Binding("y", "log", "Log scale"),
        Binding("m", "smooth", "Smooth"),
        Binding("escape,q", "close", "Back", key_display="esc"),
    ]

    def __init__(self, runs: Sequence[RunFolder]) -> None:
        super().__init__()
        self._readings = [Reading(run) for run in runs]
        self._reading = threading.Lock()
        self._metric = 0
        self._along: Along = "step"
        self._told: tuple[list[dict[str, str]], dict[str, list[str]]] | None = None

    def compose(self) -> ComposeResult:
        """Chart, tables, keys."""
        yield Static(Content.assemble((f" {len(self._readings)} runs compared", "bold")), id="rail")
        yield Chart("", ascii_only=self.app.has_class("-ascii"), id="overlay")
        with VerticalScroll(classes="fill"):
            yield Static("Reading ...", id="outcomes")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Read beside the first paint, then now and then."""
        self.query_one(VerticalScroll).focus()
        self.read_runs()
        self.set_interval(POLL_SECONDS, self.read_runs)

    @work(thread=True, group="reading")
    def read_runs(self) -> None:
        """Logs can be long: beside the screen."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            news = [one.read() for one in self._readings]
            if any(news) or self._told is None or self._words() != self._told:
                self.app.call_from_thread(self.show_runs)
        finally:
            self._reading.release()

    def _words(self) -> tuple[list[dict[str, str]], dict[str, list[str]]]:
        return [outcome_rows(outcome(one)) for one in self._readings], differences(self._readings)

    def show_runs(self) -> None:
        """Draw what has been read."""
        if is_open(self):
            self._told = self._words()
            self._draw()
            self.query_one("#outcomes", Static).update(self._table(*self._told))

    def _draw(self) -> None:
        metric = list(METRICS)[self._metric]
        along: Along = "step" if metric in HELDOUT else self._along
        curves = [
            Curve(str(style + 1), self._points(one, metric, along), style) for style, one in enumerate(self._readings)
        ]
        right = max((points.points[-1][0] for points in curves if points.points), default=0.0)
        if along == "step":
            right = max(right, *(float(one.state.total_steps or 0) for one in self._readings))
        unit = {"step": "steps", "seconds": units.duration(right), "tokens": f"{right:,.0f} tokens"}[along]
        title = f"{METRICS[metric]} along {unit}"
        self.query_one("#overlay", Chart).show(curves, right or 1.0, title)

    def _points(self, one: Reading, metric: str, along: Along) -> list[tuple[float, float | None]]:
        return curve(one, metric) if along == "step" else one.points(metric, along)

    def _table(self, outcomes: list[dict[str, str]], unlike: dict[str, list[str]]) -> Table:
        """One column per run, headed by its number, its line and its name; as many letters as there is room for."""
        width = max(8, (self.app.size.width - 4 - NAME_CELLS) // len(outcomes))
        plain = self.app.has_class("-ascii")
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
        table.add_column(width=NAME_CELLS - 1, no_wrap=True)
        for _ in outcomes:
            table.add_column(width=width - 1, no_wrap=True, overflow="ellipsis")
        lines = [Text(f"{at + 1} {sample(at, ascii_only=plain)} {LINES[at].name}") for at in range(len(outcomes))]
        names = [Text(one_line(one.name), "bold") for one in self._readings]
        table.add_row(Text("Run", "bold"), *names)
        table.add_row(Text("Line"), *lines)
        for name in outcomes[0]:
            table.add_row(Text(name), *(Text(one[name]) for one in outcomes))
        table.add_row(Text(""))
        table.add_row(Text("Differs in" if unlike else "Same choices", "bold"))
        for name, values in unlike.items():
            table.add_row(Text(name), *(Text(one_line(value)) for value in values))
        return table

    def on_resize(self) -> None:
        """The table's columns are laid out by hand."""
        if self._told is not None:
            self.query_one("#outcomes", Static).update(self._table(*self._told))

    def action_metric(self, by: int) -> None:
        """Another curve."""
        self._metric = (self._metric + by) % len(METRICS)
        self._draw()

    def action_along(self) -> None:
        """Another axis."""
        self._along = ALONG[(ALONG.index(self._along) + 1) % len(ALONG)]
        self._draw()

    def action_smooth(self) -> None:
        """More smoothing, then none."""
        chart = self.query_one("#overlay", Chart)
        chart.smoothing = SMOOTHINGS[(SMOOTHINGS.index(chart.smoothing) + 1) % len(SMOOTHINGS)]

    def action_log(self) -> None:
        """Logarithmic, or not."""
        chart = self.query_one("#overlay", Chart)
        chart.log_scale = not chart.log_scale

    def action_close(self) -> None:
        """Back to the list."""
        self.app.pop_screen()
