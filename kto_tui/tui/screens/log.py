"""The end of a worker's log."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui.runs.folder import RunFolder
from kto_tui.tui.wizard import KeyLine

LINES = 500


class LogScreen(Screen[None]):
    """The last lines, followed while the run goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,l,q", "close", "Back", key_display="esc")]

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        """Path, lines, keys."""
        yield Static(Content.assemble((f" {self.run.log}", "bold")), id="rail")
        with VerticalScroll(classes="fill"):
            yield Static(id="lines")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Read now and then on a timer."""
        self.read()
        self.set_interval(1.0, self.read)
        self.query_one(VerticalScroll).focus()

    def read(self) -> None:
        """Redraw only when there is something new."""
        lines = self.run.log_tail(LINES)
        if lines != self._shown:
            self._shown = lines
            self.query_one("#lines", Static).update(Content("\n".join(lines) or "The log is empty."))
            self.query_one(VerticalScroll).scroll_end(animate=False)

    def action_close(self) -> None:
        """Back to the run."""
        self.app.pop_screen()
