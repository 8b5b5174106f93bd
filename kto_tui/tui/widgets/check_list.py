"""What the checks found, one line each below a line for all rows; the cursor says which rows are looked at."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from kto_tui.data.checks.finding import Finding
from kto_tui.tui.visible import one_line

LABEL = 9  # cells of the words that begin each line of the Data screen
STYLES = {"error": "bold $text-error", "warning": "bold", "hint": "dim"}
# What replaces the row of a check that is not chosen: all rows.
ALL = "all"


def check_line(finding: Finding, accepted: Collection[str], width: int, offer: str) -> Content:
    """How bad it is in a word, what it is, and what can be done, in ``width`` cells. ``offer``: a fix not accepted."""
    right = "" if finding.fix is None else "fix accepted" if finding.id in accepted else offer
    sampled = "" if finding.looked_at is None else f" (of {finding.looked_at:,} looked at)"
    title = Content(one_line(f"{finding.title}{sampled}")).truncate(
        width - LABEL - len(right) - 1, ellipsis=True, pad=True
    )
    word = (finding.severity.ljust(LABEL), STYLES[finding.severity])
    return Content.assemble(word, title, " ", (right, "bold" if right == offer else ""))


class CheckList(OptionList):
    """The findings. Enter is left to the screen: it goes on. ``offer``: what is said of a fix not accepted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,tab", "cursor_down", show=False),
        Binding("k,shift+tab", "cursor_up", show=False),
    ]

    def __init__(self, offer: str) -> None:
        super().__init__(id="checks")
        self._offer = offer
        self._told: tuple[str, Sequence[Finding], Collection[str]] = ("", (), ())

    def fill(self, summary: str, findings: Sequence[Finding], accepted: Collection[str]) -> None:
        """Write the lines anew; the cursor stays on its check. ``summary``: of all rows; without one no such line."""
        self._told = (summary, findings, accepted)
        self._redraw()

    def on_resize(self) -> None:
        """Lines are as wide as there is room."""
        self._redraw()

    def _redraw(self) -> None:
        summary, findings, accepted = self._told
        width = (self.size.width or self.app.size.width - 2) - 1
        at = self.chosen
        lines = [Option(Content.assemble("All rows".ljust(LABEL), summary), id=ALL)] if summary else []
        lines += [Option(check_line(finding, accepted, width, self._offer), id=finding.id) for finding in findings]
        with self.prevent(OptionList.OptionHighlighted):
            self.set_options(lines)
            ids = [line.id for line in lines]
            self.highlighted = ids.index(at) if at in ids else 0 if ids else None

    def go_to(self, check: str) -> None:
        """Put the cursor on a check, or on all rows."""
        self.highlighted = self.get_option_index(check)

    @property
    def chosen(self) -> str:
        """Id of the check under the cursor; ``ALL`` for none."""
        option = self.highlighted_option
        return ALL if option is None or option.id is None else option.id
