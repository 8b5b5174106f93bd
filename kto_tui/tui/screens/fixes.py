"""What the checks would mend: why it matters, what the fix does, and every row it leaves out or changes."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static

from kto_tui.choices import DataChoices
from kto_tui.data.checks.finding import SHOWN_ROWS, Finding
from kto_tui.errors import UserError
from kto_tui.tui.opening import Opened
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.check_list import ALL, CheckList
from kto_tui.tui.widgets.row_view import Block, RowView, blocks_of, changed_blocks, lay_out
from kto_tui.tui.wizard import TALL, KeyLine, complain

PREVIEWED = 200  # rows of a check that are tried for a change
CHANGED, LEFT_OUT = "is changed", "is left out"


class Effect(msgspec.Struct, frozen=True):
    """What a fix does to which rows. ``count``: of all of them; ``numbers``: of the ones that can be looked at."""

    verb: str
    numbers: Sequence[int]
    count: int


class FixesScreen(Screen[DataChoices]):
    """Accepts fixes and takes them back; closes with the choices as they are then.

    Args:
        opened: an examined file.
        choices: what was decided so far.
        check: the one the cursor begins on.
        sentence: why the screen was opened, shown at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "accept", "Accept or take back", tooltip="Accept the fix under the cursor, or take it back"),
        Binding("n", "page(1)", "Rows", key_display="n/p", tooltip="The next row the fix touches, the one before"),
        Binding("p", "page(-1)", show=False),
        Binding("enter", "done", "Done", tooltip="Back to the data with the accepted fixes"),
        Binding("escape", "done", "Back", show=False),
    ]

    def __init__(self, opened: Opened, choices: DataChoices, *, check: str = ALL, sentence: str = "") -> None:
        super().__init__()
        assert opened.report is not None  # noqa: S101 - opened only after the examination
        self._opened = opened
        self._choices = choices
        self._findings = {finding.id: finding for finding in opened.findings}
        self._first, self._sentence = check, sentence
        self._effect: Effect | None = None
        self._at = 0

    def compose(self) -> ComposeResult:
        """Title, checks, why and what, preview, keys."""
        yield Static(id="rail")
        yield CheckList("a accepts")
        yield Static(id="because", classes="detail")
        yield RowView()
        yield Static(id="problem")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """The cursor is on the check it was opened for, else on the first that can be mended."""
        wanted = self._findings.get(self._first) or next((one for one in self._findings.values() if one.fix), None)
        self._fill()
        complain(self, self._sentence)
        self.query_one(CheckList).focus()
        if wanted is not None:
            self.query_one(CheckList).go_to(wanted.id)
        self._follow()

    def on_resize(self) -> None:
        """The title is laid out by hand; a tall terminal shows more checks."""
        self.set_class(self.app.size.height >= TALL, "-tall")
        self._fill()

    def _fill(self) -> None:
        findings = list(self._findings.values())
        accepted = sum(finding.id in self._choices.fixes for finding in findings)
        offered = sum(finding.fix is not None for finding in findings)
        title, right = " Fixes", f"{accepted} of {offered} accepted; your file is never changed "
        width = self.app.size.width
        self.query_one("#rail", Static).update(Content.assemble((title, "bold"), right.rjust(width - len(title))))
        self.query_one(CheckList).fill("", findings, self._choices.fixes)

    @property
    def _finding(self) -> Finding | None:
        return self._findings.get(self.query_one(CheckList).chosen)

    def on_option_list_option_highlighted(self) -> None:
        """What the fix does follows the cursor."""
        self._follow()

    def _follow(self) -> None:
        self._effect, self._at = None, 0
        finding = self._finding
        told: list[Content] = []
        if finding is not None:
            fix = finding.fix or "none: only you can mend this, in the file or by leaving rows out (x)"
            told = lay_out([("why", finding.why), ("fix", fix)], self.app.size.width - 2, 6)
        self.query_one("#because", Static).update(Content("\n").join(told))
        self._show()
        if finding is not None:
            self.try_out(finding)

    @work(thread=True, exclusive=True)
    def try_out(self, finding: Finding) -> None:
        """Find the rows that the fix leaves out or changes; of millions of rows that takes a moment."""
        try:
            result: Effect | UserError = self._effect_of(finding)
        except UserError as error:  # the held-out file is gone
            result = error
        self.app.call_from_thread(self._take, finding, result)

    def _effect_of(self, finding: Finding) -> Effect:
        browser = self._opened.browser
        assert browser is not None  # noqa: S101 - opened only after the examination
        if finding.fix is None:
            return Effect("is meant", finding.rows, finding.count)
        if len(left := browser.left_out(self._choices, finding.id, self._opened.wanted.apart)):
            return Effect(LEFT_OUT, left[:SHOWN_ROWS].tolist(), len(left))
        rows = [n for n in finding.rows[:PREVIEWED] if browser.mended(n, finding.id) != browser.row(n)]
        return Effect(CHANGED, rows, finding.count if len(rows) == PREVIEWED else len(rows))

    def _take(self, finding: Finding, result: Effect | UserError) -> None:
        if not self.is_attached or finding != self._finding:
            return
        if isinstance(result, UserError):
            complain(self, str(result))
        else:
            self._effect = result
            self._show()

    def _show(self) -> None:
        at, effect = self._at, self._effect
        if effect is not None and not effect.numbers:
            nothing = Content("No single row is left out or changed.")
            self.query_one(RowView).show(lambda after: None if after else (nothing, ()))
        else:
            self.query_one(RowView).show(lambda after: self._row(effect, at + after))

    def _row(self, effect: Effect | None, at: int) -> tuple[Content, Sequence[Block]] | None:
        """One of the rows that the fix touches: what it is, or before and after."""
        browser = self._opened.browser
        if effect is None or browser is None or at >= len(effect.numbers):
            return None
        chosen, row = self.query_one(CheckList).chosen, browser.row(effect.numbers[at])
        after = browser.mended(row.number, chosen) if effect.verb == CHANGED else row
        verb = LEFT_OUT if after is None else effect.verb
        heading = Content.assemble(
            (f"Row {row.number:,} {verb}", "bold"), f"  {at + 1:,} of {effect.count:,}  {one_line(row.place)}"
        )
        return heading, blocks_of(row) if after is None or after == row else changed_blocks(row, after)

    def action_page(self, by: int) -> None:
        """Another of the rows."""
        if self._effect is not None and self._effect.numbers:
            self._at = max(0, min(self._at + by, len(self._effect.numbers) - 1))
            self._show()

    def action_accept(self) -> None:
        """Accept, or take back."""
        finding = self._finding
        if finding is None or finding.fix is None:
            complain(self, "There is no fix to accept here.")
            return
        others = tuple(name for name in self._choices.fixes if name != finding.id)
        fixes = others if len(others) < len(self._choices.fixes) else (*others, finding.id)
        self._choices = msgspec.structs.replace(self._choices, fixes=fixes)
        complain(self)
        self._fill()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter closes."""
        event.stop()
        self.action_done()

    def action_done(self) -> None:
        """Close with the choices."""
        self.dismiss(self._choices)
