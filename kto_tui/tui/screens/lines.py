"""Lines to scroll through, looked at again while they grow."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui.tui.wizard import KeyLine


class LinesScreen(Screen[None]):
    """Whatever ``lines`` gives.

    Args:
        heading: of the screen.
        lines: asked now and every second.
        empty: what stands there without any.
        at_end: begin with the newest in sight; it stays there until somebody scrolls up.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,l,e,w", "close", "Back", key_display="esc"),
        Binding("up", "scroll", "Scroll", key_display="↑↓", tooltip="Scroll; pageup, pagedown, home, end too"),
    ]

    def __init__(self, heading: str, lines: Callable[[], Sequence[Content]], *, empty: str, at_end: bool) -> None:
        super().__init__()
        self._heading = heading
        self._lines = lines
        self._empty = empty
        self._at_end = at_end
        self._shown: Sequence[Content] | None = None

    def compose(self) -> ComposeResult:
        """Heading, lines, keys."""
        yield Static(Content.styled(f" {self._heading}", "bold"), id="rail")
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
        lines = self._lines()
        if lines == self._shown:
            return
        scroll = self.query_one(VerticalScroll)
        follow = self._at_end and (self._shown is None or scroll.is_vertical_scroll_end)
        self._shown = lines
        self.query_one("#lines", Static).update(Content("\n").join(lines) if lines else Content(self._empty))
        if follow:
            scroll.scroll_end(animate=False)

    def action_close(self) -> None:
        """Back to where it was opened from."""
        self.app.pop_screen()
