"""What every wizard screen shares: the step rail above, the key line below, and the draft it was given."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui.draft import Draft

STEPS = ("Hardware", "Model", "Data", "Recipe", "Review")
NAME = " kto-tui  "
TALL = 36  # rows of a terminal from which lists get more lines


class KeyLine(Static):
    """The screen's keys, taken from its bindings: the same table that the help dialog shows."""

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__(id="keys")
        self._of = screen

    def on_mount(self) -> None:
        """Written once: keys do not change while a screen is open."""
        parts = [
            Content.assemble((key_name(binding), "bold"), " ", binding.description)
            for binding in key_table(self._of)
            if binding.show
        ]
        self.update(Content("  ").join(parts))


def key_table(screen: Screen[Any]) -> list[Binding]:
    """The bindings a screen declares itself and does not withhold, in order, then help."""
    own = [
        entry
        for entry in type(screen).BINDINGS
        if isinstance(entry, Binding) and screen.check_action(entry.action.partition("(")[0], ()) is not False
    ]
    return [*own, Binding("question_mark", "help", "Help", key_display="?")]


def key_name(binding: Binding) -> str:
    """How a key is called on screen."""
    return binding.key_display or {"escape": "esc"}.get(binding.key, binding.key)


def room(width: int) -> int:
    """Columns right of the steps in a terminal of ``width``."""
    return width - len(NAME) - sum(len(f"[1 {name}]") for name in STEPS) - 1


def rail(current: str, right: str, width: int) -> Text:
    """The step rail: where you are in words and brackets, not only in colour."""
    text = Text(NAME, style="bold", no_wrap=True, overflow="ellipsis")
    for number, name in enumerate(STEPS, start=1):
        here = name == current
        text.append(f"[{number} {name}]" if here else f" {number} {name} ", style="bold reverse" if here else "dim")
    space = room(width)
    shown = right if len(right) <= space else right[: max(0, space - 1)] + "…"
    text.append(shown.rjust(space))
    return text


def complain(screen: Screen[Any], text: str = "") -> None:
    """Show one sentence above the keys of ``screen``; nothing when it is empty."""
    problem = screen.query_one("#problem", Static)
    problem.update(Content(text))
    problem.display = bool(text)


def is_open(screen: Screen[Any]) -> bool:
    """Whether what a thread has found can still be drawn: one that was left is mounted yet, and its widgets go."""
    return screen.is_mounted and screen in screen.app.screen_stack


class WizardScreen(Screen[None]):
    """One step of the wizard. Subclasses set ``STEP`` and fill ``compose_body``."""

    STEP: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, draft: Draft | None) -> None:
        super().__init__()
        self.draft = draft

    @property
    def heading(self) -> str:
        """What the right end of the rail says."""
        return ""

    def compose(self) -> ComposeResult:
        """Rail, body, key line."""
        yield Static(id="rail")
        yield from self.compose_body()
        yield Static(id="problem")
        yield KeyLine(self)

    def compose_body(self) -> ComposeResult:
        """The screen's own part."""
        yield from ()

    @property
    def gone(self) -> bool:
        """Whether somebody has left the screen: what arrives from a thread then has nowhere to be shown."""
        return not self.query("#rail")

    def on_resize(self) -> None:
        """The rail is laid out by hand."""
        self.redraw_rail()

    def redraw_rail(self) -> None:
        """Write the rail anew."""
        self.query_one("#rail", Static).update(rail(self.STEP, self.heading, self.app.size.width))

    def complain(self, text: str = "") -> None:
        """Show one sentence above the keys; nothing when it is empty."""
        complain(self, text)
