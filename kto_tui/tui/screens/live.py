"""A run as it goes: header, curves, what is to be said of them, the newest notes."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from kto_tui.errors import UserError
from kto_tui.runs.control import Action, ControlReader
from kto_tui.runs.curves import Curves
from kto_tui.runs.event_log import Tail
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import in_force
from kto_tui.runs.state import OVER, RESUMABLE, fold
from kto_tui.runs.verdicts import Verdict, healthy, judge
from kto_tui.tui.live_header import clock, progress, title
from kto_tui.tui.live_words import all_said, fate, judgement, notes
from kto_tui.tui.messages import Left, LogRequested, ResultsRequested, RunsRequested
from kto_tui.tui.screens.lines import LinesScreen
from kto_tui.tui.screens.live_settings import LiveSettingsScreen
from kto_tui.tui.screens.run_controls import RunControls
from kto_tui.tui.screens.samples import SamplesScreen
from kto_tui.tui.widgets.pane_grid import PaneGrid
from kto_tui.tui.widgets.words import Words
from kto_tui.tui.wizard import TALL, key_name, key_table

POLL_SECONDS = 0.5
BATCH_BYTES = 1_000_000  # read between two looks at the keyboard
WORD_ROWS, MORE_WORD_ROWS, FEWEST_NOTES = 5, 8, 2
# Keys of the last line, the most important first; there is room for these and more on a wide terminal.
ALWAYS = ("q", "question_mark")
GOING = ("tab", "z", "p", "s", "g", "v", "l", "c", "k", "r", "n", "y", "m", "left")
GONE = ("u", "v", "g", "tab", "z", "l", "r", "n", "y", "m", "left")


class LiveScreen(RunControls):
    """Attaches to a run: reads its events from the first to the newest, then as they come.

    Args:
        run: the run.
        plain: 7-bit characters only.
        read_only: watch without the keys that touch the run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "choose(1)", "Pane", tooltip="The pane that keys act on: the next; shift+tab the one before"),
        Binding("shift+tab", "choose(-1)", show=False),
        Binding("z", "zoom", "Zoom", tooltip="The pane takes the whole area, or gives it back"),
        Binding("n", "page(1)", "Panes", key_display="n/b", tooltip="The next panes, those before"),
        Binding("b,down", "page(-1)", show=False),
        Binding("y", "log_scale", "Log scale", tooltip="A logarithmic axis for the pane, or a linear one"),
        Binding("m", "smooth", "Smooth", tooltip="Smooth the pane's curves: off, light, strong"),
        Binding("left", "cursor(-1)", "Read", key_display="←→", tooltip="Read the pane's values point by point"),
        Binding("right", "cursor(1)", show=False),
        Binding(
            "plus,equals_sign", "stretch(0.5)", "Stretch", key_display="+/-", tooltip="A shorter, a longer stretch of x"
        ),
        Binding("minus", "stretch(2.0)", show=False),
        Binding("f", "follow", "Follow", tooltip="Keep the newest point of a stretch in sight, or stand still"),
        Binding("escape", "back", show=False, tooltip="Take away the cursor, then the zoom"),
        *RunControls.CONTROLS,
        Binding(
            "g", "samples", "Samples", tooltip="Answers to the fixed prompts by step, the base model's beside them"
        ),
        Binding("v", "results", "Results", tooltip="Held-out figures and answers, base against tuned"),
        Binding("w,enter", "words", "Verdicts", key_display="w", tooltip="All that is to be said of this run"),
        Binding("e", "events", "Events", tooltip="Everything that happened, with its time"),
        Binding("l", "log", "Log", tooltip="The worker's log"),
        Binding("r", "runs", "Runs", tooltip="All runs"),
        Binding("q", "detach", "Detach", tooltip="Leave; the training goes on"),
    ]

    def __init__(self, run: RunFolder, *, plain: bool = False, read_only: bool = False) -> None:
        super().__init__(run, read_only=read_only)
        self._plain = plain
        self._tail = Tail(run.events)
        self._requests = ControlReader(run.control)
        self._asked: Action | None = None
        self._curves = Curves()
        self._verdicts: list[Verdict] = []
        self._well = ""
        self.reading = True
        self._told_end = False

    def compose(self) -> ComposeResult:
        """Header, charts, words, notes, keys."""
        yield Words(id="title")
        yield Words(id="progress")
        yield PaneGrid(plain=self._plain, method="kto" if self._config is None else self._config.recipe.method)
        yield Words(id="told")
        yield Words(id="news")
        yield Words(id="keys")

    def on_mount(self) -> None:
        """What was written so far comes in batches, so that the screen is there at once and heeds its keys."""
        self._redraw()
        self.call_after_refresh(self._catch_up)

    def _catch_up(self) -> None:
        if not self.is_attached:
            return
        if self._take():
            self.call_later(self._catch_up)
            return
        self.reading = False
        self._word = self.run.status(self.state)
        self._told_end = self._word in OVER  # whoever opens an old run wants the run
        self._judge()
        self._redraw()
        self.set_interval(POLL_SECONDS, self.read)

    def _take(self) -> bool:
        """Take in a batch; False when there was nothing new."""
        events = self._tail.read(BATCH_BYTES)
        self._curves.add(events)
        self.state = fold(self.state, events)
        return bool(events)

    def read(self) -> None:
        """Take in what arrived; one batch is one redraw."""
        before = self.state
        news = self._take()
        word, asked = self.run.status(self.state), self._requests.latest()
        if not news and (word, asked) == (self._word, self._asked):
            return
        self._word, self._asked = word, asked
        if self.state.last_step is not before.last_step or self.state.evaluations != before.evaluations:
            self._judge()
        self._redraw()
        for screen in self.app.screen_stack:
            if isinstance(screen, SamplesScreen | LiveSettingsScreen):
                screen.show(self.state)
        if word not in OVER:
            self._told_end = False
        elif not self._told_end:
            self._told_end = True
            # Whoever watched to the end wants the result.
            if word in {"finished", "stopped"} and self.state.adapter is not None and self.app.screen is self:
                self.call_later(self.action_results)

    def _judge(self) -> None:
        if self._config is None:
            return
        try:
            recipe = in_force(self._config, self.state.adjustments).recipe
        except UserError:
            recipe = self._config.recipe
        self._verdicts = judge(self._curves, self.state, recipe)
        self._well = "" if self._verdicts else healthy(self._curves, self.state)

    def _say(self, where: str, content: Content) -> None:
        self.query_one(f"#{where}", Words).say(content)

    def _redraw(self) -> None:
        """Everything, from what is known by now; a widget that has nothing new does nothing."""
        if not self.is_mounted:
            return
        state, width = self.state, self.app.size.width
        mean_speed = self._curves.steps["tokens_per_second"].mean
        right = clock(self._word, state, self._asked, read_only=self._read_only)
        self._say("title", title(self.run.id, self._config, state, right=right, width=width))
        reading = Content(" reading what was written so far ...")
        self._say("progress", reading if self.reading else progress(state, self._word, mean_speed, width))
        if not self.reading:
            self.query_one(PaneGrid).show(self._curves, state)
        told = fate(self._word, state, read_only=self._read_only)
        said = judgement(self._verdicts, self._well)
        # Whoever stopped a run knows that; what it had come to is news.
        self._say_words(Content(told) if told and not (self._word == "stopped" and said.plain) else said)
        self._say_news()
        self._say("keys", self._keys(width))

    def _say_words(self, told: Content) -> None:
        """Advice is not cut while notes can give way; the curves never do."""
        self._say("told", told)
        rows = min(max(1, len(told.wrap(self.app.size.width - 2))), self._word_rows - FEWEST_NOTES)
        for where, height in (("told", rows), ("news", self._word_rows - rows)):
            words = self.query_one(f"#{where}", Words)
            if words.styles.height is None or words.styles.height.value != height:
                words.styles.height = height

    @property
    def _word_rows(self) -> int:
        """Rows of what is said and of the notes."""
        return MORE_WORD_ROWS if self.has_class("-tall") else WORD_ROWS

    def _say_news(self) -> None:
        """The newest notes; the last line is what the cursor reads."""
        height = self.query_one("#news", Words).styles.height
        room = FEWEST_NOTES if height is None else int(height.value)
        lines = notes(self.state, room)
        if read := self.query_one(PaneGrid).reading():
            lines = [*lines[-room + 1 :], *[Content()] * (room - 1 - len(lines)), Content.styled(read, "bold")]
        self._say("news", Content("\n").join(lines))

    def _keys(self, width: int) -> Content:
        """The most important keys that fit, those that are no use now left out."""
        known = {binding.key.split(",")[0]: binding for binding in key_table(self)}
        wanted = GOING if self._word not in OVER else GONE if self._word in RESUMABLE else GONE[1:]
        parts = {
            key: Content.assemble((key_name(known[key]), "bold"), " ", known[key].description)
            for key in (*ALWAYS, *wanted)
            if key in known
        }
        chosen, room = [], width - 2
        for key, part in parts.items():
            if (room := room - part.cell_length - 2) < -2:
                break
            chosen.append(key)
        return Content("  ").join(parts[key] for key in (*chosen[len(ALWAYS) :], *ALWAYS))

    def on_resize(self) -> None:
        """Header, notes and keys are laid out by hand."""
        self.set_class(self.app.size.height >= TALL, "-tall")
        self._redraw()

    @property
    def _grid(self) -> PaneGrid:
        return self.query_one(PaneGrid)

    def action_choose(self, by: int) -> None:
        """The keys act on another pane."""
        self._grid.choose(by)
        self._say_news()

    def action_page(self, by: int) -> None:
        """Other panes."""
        self._grid.turn_page(by)
        self._say_news()

    def action_zoom(self) -> None:
        """One pane over the whole area."""
        self._grid.zoom()

    def action_back(self) -> None:
        """Away with the cursor, then with the zoom."""
        if not self._grid.give_back():
            self.notify("q leaves this screen; the training goes on.")
        self._say_news()

    def action_log_scale(self) -> None:
        """Another y axis."""
        self._grid.turn_log()

    def action_smooth(self) -> None:
        """More smoothing, or none again."""
        self._grid.smooth()

    def action_cursor(self, by: int) -> None:
        """Read the values one column further."""
        self._grid.move_cursor(by)
        self._say_news()

    def action_stretch(self, factor: float) -> None:
        """Show a shorter or a longer stretch of x."""
        self._grid.zoom_x(factor)

    def action_follow(self) -> None:
        """Go with the newest point, or stand still."""
        self.notify(self._grid.follow())

    def action_samples(self) -> None:
        """Answers by step."""
        self.app.push_screen(SamplesScreen(self.run.id, self.state))

    def action_results(self) -> None:
        """What the run achieved so far."""
        self.post_message(ResultsRequested(self.run, self.state))

    def action_words(self) -> None:
        """All verdicts, and what happened."""
        self._open(
            "How it is going",
            lambda: all_said(self._verdicts, self._well, fate(self._word, self.state, read_only=self._read_only)),
            empty="It is too early to say how it is going.",
        )

    def action_events(self) -> None:
        """All notes."""
        self._open("What happened", lambda: notes(self.state), empty="Nothing has happened yet.", at_end=True)

    def _open(self, heading: str, lines: Callable[[], list[Content]], *, empty: str, at_end: bool = False) -> None:
        self.app.push_screen(LinesScreen(f"{self.run.id}: {heading}", lines, empty=empty, at_end=at_end))

    def action_log(self) -> None:
        """The worker's log."""
        self.post_message(LogRequested(self.run))

    def action_runs(self) -> None:
        """All runs."""
        self.post_message(RunsRequested())

    def action_detach(self) -> None:
        """Leave; training goes on."""
        going_on = f"Training goes on. Come back with: kto-tui attach {self.run.id}"
        self.post_message(Left(None if self._word in OVER else going_on))
