"""The part of the Data screen that has tokens counted, and shows rows as the model will see them."""

import msgspec
from textual import work
from textual.message import Message

from kto_tui.data.rows import Row
from kto_tui.data.selection import changing
from kto_tui.data.tokens.client import TokenizerProcess
from kto_tui.data.tokens.rendered import Rendered
from kto_tui.draft import plan
from kto_tui.errors import UserError
from kto_tui.tui.candidates import is_here
from kto_tui.tui.counting import Counted, count_rows, weigh
from kto_tui.tui.opening import Decided, Opened
from kto_tui.tui.screens.data_rows import WAIT, RowsScreen
from kto_tui.tui.screens.rendered import RenderedScreen
from kto_tui.tui.widgets.numbers import counting_line

AUTOMATIC_ROWS = 20_000  # some seconds of a tokenizer's work


class TokensScreen(RowsScreen):
    """Counts by itself where that is quick: the model is on this machine and the rows are few."""

    class Counting(Message):
        """So many rows are counted; or all of them are; or why they cannot be."""

        def __init__(self, opened: Opened, update: int | Counted | UserError) -> None:
            super().__init__()
            self.opened = opened
            self.update = update

    # Not in __init__, which belongs to the part that opens files.
    _tokenizer: TokenizerProcess | None = None
    _counting: Opened | None = None
    _asked = False  # somebody waits for the count, so that a failure is told

    def on_unmount(self) -> None:
        """No tokenizer stays behind."""
        self.stop_counting()

    @property
    def max_length(self) -> int | None:
        """Of the recipe as it would be; None while there is none."""
        try:
            return plan(self._draft).recipe.max_length
        except UserError:
            return None

    def settled(self, opened: Opened) -> None:
        """Count by itself where that takes seconds."""
        model = self._draft.model
        few = opened.decided is not None and 0 < len(opened.decided.kept.rows) <= AUTOMATIC_ROWS
        if model is not None and few and is_here(model.id):
            self._count(opened, asked=False)

    def recount(self, opened: Opened, decided: Decided) -> Counted | None:
        """Other rows or labels leave the counts of each row as they are, other texts do not."""
        if opened.counted is None or opened.decided is None or _texts(opened.decided) != _texts(decided):
            return None
        return weigh(opened.counted.pairs, decided.kept.for_method(opened.method), self.max_length)

    def action_count(self) -> None:
        """Count the tokens of all rows."""
        opened = self._opened
        if opened is None or opened.decided is None:
            self.complain(WAIT)
        elif opened.counted is not None:
            self.complain("The tokens are counted already.")
        elif self._counting is None:
            self.complain()
            self._count(opened, asked=True)

    def _count(self, opened: Opened, *, asked: bool) -> None:
        self._asked = asked
        try:
            tokenizer = self._ask()
        except UserError as error:
            self.complain(str(error))
            return
        self._counting = opened
        self.count_tokens(opened, tokenizer)

    def _ask(self) -> TokenizerProcess:
        if self._draft.model is None:
            raise UserError("No model is chosen yet, so there is no tokenizer to ask", mend="Choose one first (esc)")
        if self._tokenizer is None:
            self._tokenizer = TokenizerProcess(self._draft.model.id)
        return self._tokenizer

    @work(thread=True, exclusive=True, group="count")
    def count_tokens(self, opened: Opened, tokenizer: TokenizerProcess) -> None:
        """Hand on how far it is."""
        assert opened.decided is not None  # noqa: S101 - counted once it is examined
        kept = opened.decided.kept.for_method(opened.method)

        def tell(done: int) -> None:
            self.post_message(self.Counting(opened, done))

        try:
            update: Counted | UserError = weigh(count_rows(tokenizer, kept, tell), kept, self.max_length)
        except UserError as error:
            update = error
        self.post_message(self.Counting(opened, update))

    def on_tokens_screen_counting(self, message: Counting) -> None:
        """Show it, unless the file was opened anew or the count was given up."""
        opened = self._opened
        if message.opened is not self._counting or self.gone or opened is None or message.opened.decided is None:
            return
        self._progress = None
        match update := message.update:
            case int():
                self._progress = counting_line(update, len(message.opened.decided.kept.rows))
            case Counted():
                self._counting = None
                if opened.decided is not None and _texts(message.opened.decided) == _texts(opened.decided):
                    # Rows may have been left out meanwhile.
                    counted = weigh(update.pairs, opened.decided.kept, self.max_length)
                    self._opened = msgspec.structs.replace(opened, counted=counted)
            case UserError():
                self._counting = None
                if self._asked:
                    self.complain(str(update))
        self.show_all()

    def stop_counting(self) -> bool:
        """End a count, and the tokenizer; whether there was one."""
        counting, self._counting = self._counting, None
        if self._tokenizer is not None:
            self._tokenizer.close()
            self._tokenizer = None
        return counting is not None

    def action_view(self) -> None:
        """The row as the model will see it."""
        opened = self._opened
        if opened is None or opened.decided is None:
            self.complain(WAIT)
            return
        try:
            tokenizer = self._ask()
        except UserError as error:
            self.complain(str(error))
            return

        def render(row: Row) -> Rendered:
            return tokenizer.render(row, self.max_length)

        self.app.push_screen(RenderedScreen(opened, self._cursor, render), lambda _: self.show_row())


def _texts(decided: Decided) -> set[str]:
    """The accepted fixes that change texts."""
    return set(changing(decided.choices.fixes))
