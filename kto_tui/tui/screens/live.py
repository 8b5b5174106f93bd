"""A run as it goes: header, four curves, the newest notes."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from kto_tui import units
from kto_tui.errors import UserError
from kto_tui.runs.config import RunConfig, load_config
from kto_tui.runs.events import GaugesRead, Tail
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import ask
from kto_tui.runs.report import event_line
from kto_tui.runs.state import RunState, Status, fold
from kto_tui.tui.clock import clock_time
from kto_tui.tui.messages import Left, LogRequested, ResultsRequested, RunsRequested
from kto_tui.tui.screens.dialogs import ConfirmDialog
from kto_tui.tui.widgets.chart import Chart
from kto_tui.tui.wizard import KeyLine

POLL_SECONDS = 0.5
NEWS_LINES = 5
OVER = {"finished", "stopped", "paused", "failed", "died", "unknown"}


class LiveScreen(Screen[None]):
    """Attaches to a run: reads its events from the first to the newest, then as they come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "detach", "Detach", tooltip="Leave; the training goes on"),
        Binding("s", "stop", "Stop", tooltip="Save the adapter as it is and end the training"),
        Binding("l", "log", "Log", tooltip="The worker's log"),
        Binding("g", "summary", "Results", tooltip="Held-out figures and answers, base against tuned"),
        Binding("r", "runs", "Runs", tooltip="All runs"),
    ]
    state: reactive[RunState] = reactive(RunState, init=False)

    def __init__(self, run: RunFolder, *, plain: bool = False) -> None:
        super().__init__()
        self.run = run
        self._plain = plain
        self._tail = Tail(run.events)
        self._word: Status = "starting"
        self._told_end = False
        self._watched = False
        self._memory: list[tuple[float, float | None]] = []
        try:
            self._config: RunConfig | None = load_config(run.config)
        except UserError:
            self._config = None

    def compose(self) -> ComposeResult:
        """Header, charts, notes, keys."""
        yield Static(id="status")
        with Container(id="charts"):
            for key, title in (
                ("loss", "loss"),
                ("margin", "reward margin"),
                ("kl", "KL"),
                ("memory", "memory GiB"),
            ):
                yield Chart(title, ascii_only=self._plain, id=key)
        yield Static(id="news")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """First read at once, then on a timer."""
        self.read()
        self.set_interval(POLL_SECONDS, self.read)

    def read(self) -> None:
        """Take in what arrived; one batch is one redraw."""
        events = self._tail.read()
        state = fold(self.state, events)
        for event in events:
            if isinstance(event, GaugesRead):
                used = event.gpu_used_bytes if event.gpu_used_bytes is not None else event.process_bytes
                self._memory.append((event.t, None if used is None else used / units.GIB))
        word = self.run.status(state)
        if events or word != self._word:
            self._word = word
            self.state = state
            self._redraw()
        if word in OVER and not self._told_end:
            self._told_end = True
            # Whoever watched to the end wants the result; whoever opens an old run wants the run.
            if self._watched and state.adapter is not None and state.steps and self.app.screen is self:
                self.call_later(self.action_summary)
        self._watched = True

    def _redraw(self) -> None:
        state = self.state
        self.query_one("#status", Static).update(Content("\n").join([self._title(), self._progress()]))
        total = float(state.total_steps or 1)
        last = state.last_step
        curves = {
            "loss": (
                [(float(s.step), s.loss) for s in state.steps],
                units.metric(last.loss if last else None),
            ),
            "margin": (
                [(float(s.step), s.margin) for s in state.steps],
                units.metric(last.margin if last else None, 2, signed=True),
            ),
            "kl": ([(float(s.step), s.kl) for s in state.steps], units.metric(last.kl if last else None, 2)),
        }
        for key, (points, latest) in curves.items():
            self.query_one(f"#{key}", Chart).show(points, total, latest)
        self._draw_memory()
        news = [(note.t, line) for note in state.notes[-NEWS_LINES:] if (line := event_line(note, state))]
        self.query_one("#news", Static).update(
            Content("\n").join([Content.assemble((clock_time(t), "dim"), f"  {line}") for t, line in news])
        )

    def _draw_memory(self) -> None:
        """Memory over time; the axis holds until the run is expected to end, so that it rarely moves."""
        if not self._memory:
            return
        start = self._memory[0][0]
        latest = self._memory[-1]
        span = max(60.0, latest[0] - start)
        # Doubling the axis now and then repaints far less than stretching it at every point.
        limit = 60.0
        while limit < span:
            limit *= 2
        points = [(t - start, value) for t, value in self._memory]
        gauges = self.state.gauges
        of = gauges.gpu_total_bytes if gauges is not None else None
        text = units.metric(latest[1], 1) + (f" of {units.size(of)}" if of else "")
        self.query_one("#memory", Chart).show(points, limit, text)

    def _title(self) -> Content:
        model = self._config.model if self._config else ""
        name = model.rsplit("/", 1)[-1]
        device = self.state.training.device if self.state.training else "..."
        left = f" {self.run.id}  {name} · KTO · TRL on {device}"
        right = f"{self._word.upper()}  {units.duration(self.state.elapsed_seconds)} "
        space = max(1, self.app.size.width - 2 - len(left) - len(right))
        return Content.assemble((left, "bold"), " " * space, (right, "bold reverse"))

    def _progress(self) -> Content:
        state = self.state
        if state.ended is not None and state.ended.message:
            return Content(f" {state.ended.message}")
        if self._word == "died":
            return Content(" The worker is gone without a last word. l shows its log; the steps so far are below.")
        if self._word in OVER:
            of = f" of {state.total_steps}" if state.total_steps else ""
            return Content(f" {self._word} at step {state.step}{of}. {self._outcome()}")
        if not state.steps:
            return Content(f" {state.phase or 'starting'} ...")
        last, total = state.steps[-1], state.total_steps or state.steps[-1].total_steps
        share = last.step / total if total else 0.0
        cells = 18
        bar = "▓" * round(share * cells) + "░" * (cells - round(share * cells))
        speed = units.metric(last.tokens_per_second, 0)
        busy = (
            state.phase if state.phase not in {None, "training"} else f"left {units.duration(state.remaining_seconds)}"
        )
        return Content(f" step {last.step}/{total} {bar} {share:.0%}  {speed} tok/s  {busy}")

    def _outcome(self) -> str:
        """Held-out figures where there are any; g shows the rest."""
        if not self.state.evaluations:
            return "g: results so far"
        last = self.state.evaluations[-1]
        return f"Held-out accuracy {units.percent(last.accuracy)} of {last.rows} rows; g: results"

    def on_resize(self) -> None:
        """The header is laid out by hand."""
        if self.is_mounted:
            self._redraw()

    def action_detach(self) -> None:
        """Leave; training goes on."""
        going_on = f"Training goes on. Come back with: kto-tui attach {self.run.id}"
        self.post_message(Left(None if self._word in OVER else going_on))

    def action_stop(self) -> None:
        """Ask, then ask the worker."""
        if self._word in OVER:
            self.notify(f"This run is already {self._word}.")
            return
        question = f"Stop {self.run.id} after its current step? The adapter is saved as it is then."
        self.app.push_screen(ConfirmDialog(question, "Stop and save"), self._stop)

    def _stop(self, sure: bool | None) -> None:
        if sure and not ask(self.run, "stop"):
            self.notify("The worker is not there to hear it.", severity="warning")

    def action_log(self) -> None:
        """The worker's log."""
        self.post_message(LogRequested(self.run))

    def action_summary(self) -> None:
        """What the run achieved so far."""
        self.post_message(ResultsRequested(self.run, self.state))

    def action_runs(self) -> None:
        """All runs."""
        self.post_message(RunsRequested())
