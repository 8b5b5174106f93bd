"""One row after another as the model will see it: through the chat template, its special tokens written out."""

from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui.data.rows import Row
from kto_tui.data.shown import ShownRow
from kto_tui.data.tokens.rendered import Rendered
from kto_tui.errors import UserError
from kto_tui.tui.opening import Opened
from kto_tui.tui.row_cursor import RowCursor
from kto_tui.tui.row_words import row_heading
from kto_tui.tui.widgets.rendered_view import rendered_lines, summary
from kto_tui.tui.widgets.row_view import blocks_of, lay_out
from kto_tui.tui.wizard import KeyLine

WHOLE_LINES = 400  # of a row that cannot be rendered


class RenderedScreen(Screen[None]):
    """Walks the same rows as the screen it was opened from.

    Args:
        opened: an examined file.
        cursor: which row is looked at; it is moved.
        render: asks the tokenizer; called beside the screen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "page(1)", "Rows", key_display="n/p", tooltip="The next row, the one before"),
        Binding("p", "page(-1)", show=False),
        Binding("escape,v,enter", "close", "Back", key_display="esc", tooltip="Back to the data"),
    ]

    def __init__(self, opened: Opened, cursor: RowCursor, render: Callable[[Row], Rendered]) -> None:
        super().__init__()
        self._opened = opened
        self._cursor = cursor
        self._ask = render
        self._found: tuple[ShownRow, Rendered | UserError] | None = None

    def compose(self) -> ComposeResult:
        """Which row, what it is to the model, keys."""
        yield Static(id="rail")
        with VerticalScroll(classes="fill"):
            yield Static(id="lines")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Ask for the row."""
        self.query_one(VerticalScroll).focus()
        self._look()

    def on_resize(self) -> None:
        """Lines are as wide as there is room."""
        self._draw()

    def action_page(self, by: int) -> None:
        """Another row."""
        self._cursor.move(by, self._opened.rows)
        self._look()

    def _look(self) -> None:
        row = self._opened.row(self._cursor.number)
        self._found = None
        self.query_one("#lines", Static).update(Content("Asking the model's tokenizer ..."))
        which = f" Row {row.number:,} of {self._opened.rows:,}"
        self.query_one("#rail", Static).update(row_heading(self._opened, row, which))
        self.ask(row)

    @work(thread=True, exclusive=True)
    def ask(self, row: ShownRow) -> None:
        """A tokenizer takes seconds to load and milliseconds to answer."""
        try:
            result: Rendered | UserError = self._ask(self._as_trained(row))
        except UserError as error:
            result = error
        self.app.call_from_thread(self._take, row, result)

    def _as_trained(self, row: ShownRow) -> Row:
        """The row with what the accepted fixes make of it, where it is kept; else as it is.

        Raises:
            UserError: it is none.
        """
        decided = self._opened.decided
        if (at := None if decided is None else decided.kept.index(row.number)) is not None and decided is not None:
            return decided.kept.rows[at]
        if row.problem:
            raise UserError("This record is no row", mend="Mend it in the file, or leave it out", where=row.place)
        return Row(row.prompt, row.completion, bool(row.label), 0, row.number, row.tools)

    def _take(self, row: ShownRow, result: Rendered | UserError) -> None:
        if self.is_attached and row.number == self._cursor.number:
            self._found = row, result
            self._draw()
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def _draw(self) -> None:
        if self._found is None:
            return
        row, result = self._found
        width = self.app.size.width - 3
        if isinstance(result, UserError):
            lines = [
                Content(f"{result} Below it is as it stands in the file.\n"),
                *lay_out(blocks_of(row), width, WHOLE_LINES),
            ]
        else:
            lines = [Content.assemble((summary(result), "bold")), *rendered_lines(result, width)]
        self.query_one("#lines", Static).update(Content("\n").join(lines))

    def action_close(self) -> None:
        """Back to the data."""
        self.dismiss(None)
