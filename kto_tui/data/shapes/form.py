"""How the records of a file are read: which shape they have, which column holds what, and what one record yields."""

from typing import Literal

import msgspec

from kto_tui.choices import Role
from kto_tui.data.labels import Scalar
from kto_tui.data.rows import Message

Text = str | tuple[Message, ...]
Problem = Literal["unreadable", "roles"]


class Form(msgspec.Struct, frozen=True):
    """A way to read records, recognised or chosen.

    Attributes:
        shape: its name, as in ``DataChoices.shape``.
        title: for people.
        columns: what each column holds, every column of the sample named.
        confidence: 0 to 1; 1 where nothing else could be meant, 0 where somebody must map the columns first.
        because: the reason, in words.
        paired: a record holds a chosen and a rejected answer and yields two rows, the chosen one first.
    """

    shape: str
    title: str
    columns: dict[str, Role]
    confidence: float
    because: str
    paired: bool = False

    @property
    def label(self) -> str | None:
        """The column that holds labels; None where the shape itself says which answers are good."""
        return None if self.paired else next((name for name, role in self.columns.items() if role == "label"), None)


class RawRow(msgspec.Struct, frozen=True, gc=False):
    """One answer as it was found, its label not interpreted yet; ``True`` and ``False`` where the shape says it.

    ``tools``: JSON text of the list of tools, empty without.
    """

    prompt: Text
    completion: Text
    label: Scalar
    tools: str = ""


class RowProblemError(Exception):
    """A record that yields no row. Empty texts and missing labels are no such problem: their rows are shown.

    Args:
        kind: id of the check it belongs to.
        text: a clause that says what is wrong with this record.
    """

    def __init__(self, kind: Problem, text: str) -> None:
        super().__init__(text)
        self.kind: Problem = kind
        self.text = text
