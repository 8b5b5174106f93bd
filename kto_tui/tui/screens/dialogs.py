"""Small dialogs: help, a yes or no, a line of text, one of several."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from kto_tui.tui.wizard import key_name, key_table


class HelpDialog(ModalScreen[None]):
    """The keys of the screen it was opened from."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "Close")]

    def __init__(self, screen: Screen[None]) -> None:
        super().__init__()
        self._of = screen

    def compose(self) -> ComposeResult:
        """One line per key."""
        lines = [Content.assemble(("Keys", "bold"), "\n")]
        for binding in key_table(self._of):
            told = binding.tooltip or binding.description
            if not told:  # another key for what the line before says
                continue
            lines.append(Content.assemble((key_name(binding).ljust(12), "bold"), told))
        lines.append(Content("\nescape closes this"))
        with VerticalScroll(id="dialog"):
            yield Static(Content("\n").join(lines))


class ConfirmDialog(ModalScreen[bool]):
    """A question that must be answered with a word: y does it, anything else does not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter", "answer(False)", "No"),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Question and keys."""
        with Vertical(id="dialog"):
            yield Static(Content(self._question))
            yield Static(Content.assemble("\n", ("y", "bold"), f" {self._yes}   ", ("esc", "bold"), " No"))

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class AskDialog(ModalScreen[str | None]):
    """One line of text; escape gives None, and so does nothing typed unless ``empty`` is an answer too."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Back")]

    def __init__(self, question: str, value: str = "", *, empty: bool = False) -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._empty = empty

    def compose(self) -> ComposeResult:
        """Question and input line."""
        with Vertical(id="dialog"):
            yield Static(Content(self._question))
            yield Input(self._value)
            yield Static(Content.assemble(("enter", "bold"), " OK   ", ("esc", "bold"), " Back"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with what was typed."""
        text = event.value.strip()
        self.dismiss(text if text or self._empty else None)

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class ChooseDialog(ModalScreen[str | None]):
    """One of several; escape gives None.

    Args:
        options: what each is called, by the answer it gives.
        current: the answer under the cursor at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Back")]

    def __init__(self, question: str, options: Mapping[str, str], current: str) -> None:
        super().__init__()
        self._question = question
        self._options = options
        self._current = current

    def compose(self) -> ComposeResult:
        """Question and list."""
        with Vertical(id="dialog"):
            yield Static(Content(self._question))
            yield OptionList(*(Option(Content(text), id=answer) for answer, text in self._options.items()))
            yield Static(Content.assemble(("enter", "bold"), " Choose   ", ("esc", "bold"), " Back"))

    def on_mount(self) -> None:
        """Cursor on what holds now."""
        self.query_one(OptionList).highlighted = list(self._options).index(self._current)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close with the answer."""
        self.dismiss(event.option_id)

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
