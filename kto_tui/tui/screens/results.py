"""Did it get better? Held-out figures and answers, base against tuned."""

import textwrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui import units
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.report import answers_side_by_side, summary_lines
from kto_tui.runs.state import RunState
from kto_tui.tui.wizard import KeyLine


class ResultsScreen(Screen[None]):
    """The summary of a run, as far as it has come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,v,q", "close", "Back to the curves", key_display="esc")
    ]

    def __init__(self, run: RunFolder, state: RunState) -> None:
        super().__init__()
        self.run = run
        self._state = state

    def compose(self) -> ComposeResult:
        """Figures, answers, where the adapter is."""
        yield Static(Content.assemble((f" {self.run.id}: did it get better?", "bold")), id="rail")
        with VerticalScroll(classes="body"):
            yield Static(self._text())
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Arrow keys scroll."""
        self.query_one(VerticalScroll).focus()

    def _text(self) -> Content:
        parts = [Content(line) for line in summary_lines(self._state)]
        answers = answers_side_by_side(self._state)
        if not answers:
            over = self._state.ended is not None
            parts.append(
                Content(
                    "The run ended before the tuned model was asked."
                    if over
                    else "No answers of the tuned model yet; they come when training is done."
                )
            )
        for prompt, base, tuned in answers:
            parts += [
                Content(""),
                Content.styled(prompt, "bold"),
                Content(self._wrapped("base ", base)),
                Content(self._wrapped("tuned", tuned)),
            ]
        if self._state.adapter is not None:
            parts += [
                Content(""),
                Content(f"Adapter  {self._state.adapter.path} ({units.size(self._state.adapter.size_bytes)})"),
                Content("         its README.md says how to load it"),
            ]
        return Content("\n").join(parts)

    def _wrapped(self, title: str, answer: str) -> str:
        """An answer under its own first word, not under the margin."""
        width = min(self.app.size.width - 6, 110)
        return textwrap.fill(answer, width, initial_indent=f"  {title}  ", subsequent_indent=" " * 9)

    def action_close(self) -> None:
        """Back to the curves."""
        self.app.pop_screen()
