"""The part of the Data screen that walks and searches the rows."""

from collections.abc import Sequence

from textual import work
from textual.content import Content
from textual.message import Message

from kto_tui.data.checks.finding import Finding
from kto_tui.tui.row_words import row_heading, why
from kto_tui.tui.screens.data_file import FileScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.check_list import ALL, CheckList
from kto_tui.tui.widgets.row_view import Block, RowView, blocks_of

WAIT = "The file is still being read; its first rows are below. One moment."


class RowsScreen(FileScreen):
    """Shows one row at a time: of all, of a check, or what a search finds."""

    class Found(Message):
        """The row that a search ended at; None where no row has the text."""

        def __init__(self, number: int | None) -> None:
            super().__init__()
            self.number = number

    def show_row(self) -> None:
        """Draw the row that is looked at, and what there is room for of the ones after it."""
        finding = self.finding
        self.query_one(RowView).show(lambda after: self._look(finding, after))

    def _look(self, finding: Finding | None, after: int) -> tuple[Content, Sequence[Block]] | None:
        opened = self._opened
        number = None if opened is None else self._cursor.ahead(after, opened.rows)
        if opened is None or number is None:
            return None
        row = opened.row(number)
        which = f"Row {number:,} of {opened.rows:,}"
        if finding is not None:
            listed = len(finding.rows)
            shown = f"first {listed:,}" if listed < finding.count else f"{listed:,}"
            which = f"{which}, {self._cursor.index + after + 1:,} of the {shown} here"
        lines = [row_heading(opened, row, which, "dim" if after else "bold")]
        if finding is not None and not after:
            lines.insert(0, why(finding))
        return Content("\n").join(lines), blocks_of(row)

    @property
    def finding(self) -> Finding | None:
        """The check under the cursor; None for all rows."""
        findings, chosen = () if self._opened is None else self._opened.findings, self.query_one(CheckList).chosen
        return next((one for one in findings if one.id == chosen), None)

    def on_option_list_option_highlighted(self) -> None:
        """The rows of the check under the cursor."""
        finding = self.finding
        self._cursor.enter(() if finding is None else finding.rows)
        self.show_row()

    def action_page(self, by: int) -> None:
        """Another row: of the check, or of all."""
        if self._opened is not None:
            self._cursor.move(by, self._opened.rows)
            self.show_row()

    def action_go(self) -> None:
        """Ask for a row's number."""
        if self._opened is not None:
            self.app.push_screen(AskDialog(f"Row, 1 to {self._opened.rows:,}"), self._go)

    def _go(self, text: str | None) -> None:
        if text is None or self._opened is None:
            return
        digits = text.replace(",", "")
        if not digits.isascii() or not digits.isdigit():
            self.complain(f"{one_line(text, 20)!r} is no row number.")
            return
        self.go_to(int(digits))

    def go_to(self, number: int) -> None:
        """The row of that number among all."""
        self.complain()
        self.query_one(CheckList).go_to(ALL)
        self._cursor.enter(())
        self._cursor.go(number, self._opened.rows if self._opened is not None else 1)
        self.show_row()

    def action_find(self) -> None:
        """Ask what to search, or go to the next row that has it."""
        if self._opened is None or self._opened.browser is None:
            self.complain(WAIT)
        elif self._search:
            self.search(self._search, self._cursor.number + 1)
        else:
            self.app.push_screen(AskDialog("Search prompts and completions for"), self._find)

    def _find(self, text: str | None) -> None:
        if text is not None:
            self._search = text
            self.search(text, self._cursor.number)

    @work(thread=True, exclusive=True, group="search")
    def search(self, text: str, start: int) -> None:
        """Millions of rows take a while."""
        if self._opened is not None and self._opened.browser is not None:
            self.post_message(self.Found(self._opened.browser.search(text, start)))

    def on_rows_screen_found(self, message: Found) -> None:
        """Go there, or say that there is none."""
        if self.gone:
            return
        told = f"{one_line(self._search, 40)!r}: / goes to the next row, esc ends the search."
        if message.number is None:
            told, self._search = f"No row has {one_line(self._search, 40)!r}.", ""
        else:
            self.go_to(message.number)
        self.complain(told)
