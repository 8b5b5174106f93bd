"""The part of the Data screen that reads a file beside it, and shows what is known so far."""

import time
from pathlib import Path

import msgspec
from textual import work
from textual.message import Message

from kto_tui import units
from kto_tui.choices import DataChoices
from kto_tui.data.report import Progressed, Refused
from kto_tui.data.sources import STARTER
from kto_tui.draft import Draft
from kto_tui.errors import UserError
from kto_tui.tui.counting import Counted
from kto_tui.tui.opening import Decided, Opened, Opening, Wanted, decide
from kto_tui.tui.row_cursor import RowCursor
from kto_tui.tui.row_words import summary
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.check_list import CheckList
from kto_tui.tui.widgets.histogram import Histogram
from kto_tui.tui.widgets.numbers import Line, Numbers, progress_line, tokens_line
from kto_tui.tui.wizard import WizardScreen


class FileScreen(WizardScreen):
    """Opens files and follows what is decided about them. Subclasses draw rows and ask what must be asked."""

    class Told(Message):
        """What came of opening a file."""

        def __init__(self, opening: Opening, update: Opened | Progressed | Refused) -> None:
            super().__init__()
            self.opening = opening
            self.update = update

    class Weighed(Message):
        """What came of a choice."""

        def __init__(self, decided: Decided, counted: Counted | None) -> None:
            super().__init__()
            self.decided = decided
            self.counted = counted

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        # What the draft was made from; another file or choice is not in it yet.
        sound = draft.source is not None and draft.data is not None
        self._sound = Wanted(draft.data or STARTER, draft.heldout, draft.choices) if sound else None
        self._opened: Opened | None = None
        self._before: Opened | None = None
        self._opening: Opening | None = None
        # When the first progress came, and how many bytes were read by then.
        self._began: tuple[float, int] | None = None
        self._progress: Line | None = None
        self._cursor = RowCursor()
        self._search = ""
        # Enter was pressed while the file was being read.
        self._going_on = False

    @property
    def heading(self) -> str:
        """Which file, how many rows."""
        if self._opened is None:
            return "no data yet"
        name = "starter set" if self._opened.wanted.data == STARTER else Path(self._opened.wanted.data).name
        return one_line(name if self._opened.report is None else f"{name} · {units.count(self._opened.rows)}")

    def on_unmount(self) -> None:
        """Nothing is read unseen."""
        if self._opening is not None:
            self._opening.cancel()

    def open_file(self, wanted: Wanted) -> None:
        """Read a file, in place of the one before once its first rows are there."""
        if self._opening is not None:
            self._opening.cancel()
        self._opening, self._began, self._progress = Opening(wanted, self._draft), None, None
        self._going_on = False
        self.complain()
        self.listen(self._opening)

    @work(thread=True, group="open")
    def listen(self, opening: Opening) -> None:
        """Hand on what is found, until that ends."""
        for update in opening:
            self.post_message(self.Told(opening, update))

    def on_file_screen_told(self, message: Told) -> None:
        """Show what is known; of what was given up nothing."""
        if message.opening is not self._opening or self.gone:
            return
        match update := message.update:
            case Progressed():
                self._began = self._began or (time.monotonic(), update.bytes_done)
                seconds, done = time.monotonic() - self._began[0], update.bytes_done - self._began[1]
                self._progress = progress_line(update, done / seconds if seconds > 0.5 else None)
                self.show_all()
            case Opened(report=None):
                self._begin(update)
            case Opened():
                self._settle(update)
            case Refused():
                self._refused(update)

    def _begin(self, opened: Opened) -> None:
        if self._opened is not None and self._opened.report is not None:
            self._before = self._opened
        if self._opened is None or self._opened.wanted.data != opened.wanted.data:
            self._cursor = RowCursor()
        before = self._before
        if before is not None and before.wanted.data == opened.wanted.data and before.head.form == opened.head.form:
            opened = msgspec.structs.replace(opened, browser=before.browser)  # the same rows
        self._opened = opened
        self.show_all()
        if opened.head.unclear:
            self._opening = None
            self.ask_columns()

    def _settle(self, opened: Opened) -> None:
        self._opening, self._progress, self._before, self._opened = None, None, None, opened
        self._take_outcome()
        self.show_all()
        self.settled(opened)
        going, self._going_on = self._going_on, False
        if opened.report is not None and not opened.report.confirmed:
            self.ask_labels()
        elif going and opened.report is not None:
            found = {finding.severity for finding in opened.report.findings} - {"hint"}
            self.complain("Look at what was found first; enter then goes on." if found else "")
            if not found:
                self.go_on()

    def _refused(self, refused: Refused) -> None:
        self._opening, self._progress, self._going_on = None, None, False
        if self._before is not None:
            self._opened, self._before = self._before, None
        self.show_all()
        self.complain(str(UserError(refused.what, mend=refused.mend, where=refused.where)))

    def _take_outcome(self) -> None:
        opened = self._opened
        if opened is not None and opened.decided is not None and isinstance(opened.decided.outcome, Draft):
            self._draft, self._sound = opened.decided.outcome, opened.wanted

    def show_all(self) -> None:
        """Draw what is known."""
        self.redraw_rail()
        opened = self._opened
        if opened is None:
            return
        self._cursor.go(self._cursor.number, opened.rows)
        self.query_one(Numbers).show(opened, self._progress or tokens_line(opened.lengths, self.max_length))
        self.query_one(Histogram).show(opened.lengths)
        self.query_one(CheckList).fill(summary(opened), opened.findings, opened.wanted.choices.fixes)
        self.show_row()

    def change(self, choices: DataChoices) -> None:
        """Take choices that leave the stored rows as they are: shown at once, counted beside the screen."""
        if self._opened is None:
            return
        wanted = msgspec.structs.replace(self._opened.wanted, choices=choices)
        self._opened = msgspec.structs.replace(self._opened, wanted=wanted)
        self.complain()
        self.show_all()
        self.weigh(self._opened)

    @work(thread=True, exclusive=True, group="weigh")
    def weigh(self, opened: Opened) -> None:
        """Count what is left, and see whether it can be trained on."""
        decided = decide(opened, self._draft, opened.wanted.choices)
        self.post_message(self.Weighed(decided, self.recount(opened, decided)))

    def on_file_screen_weighed(self, message: Weighed) -> None:
        """The numbers follow, unless something else was decided meanwhile."""
        opened = self._opened
        if self.gone or opened is None or opened.wanted.choices != message.decided.choices:
            return
        self._opened = msgspec.structs.replace(opened, decided=message.decided, counted=message.counted)
        self._take_outcome()
        self.show_all()

    @property
    def max_length(self) -> int | None:
        """Of the recipe as it would be; None while there is none."""
        return None

    def settled(self, opened: Opened) -> None:
        """What is done of itself with an examined file."""

    def recount(self, opened: Opened, decided: Decided) -> Counted | None:  # noqa: ARG002 - subclasses count
        """What is left of the counted tokens after a choice."""
        return opened.counted

    def go_on(self) -> None:
        """On to the recipe."""

    def show_row(self) -> None:
        """Draw the row that is looked at."""

    def ask_columns(self) -> None:
        """Nothing can be read before somebody says what the columns hold."""

    def ask_labels(self) -> None:
        """Nothing is trained on before somebody says what the labels mean."""
