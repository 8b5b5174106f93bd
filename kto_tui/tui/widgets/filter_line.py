"""A line of words that narrows a table: the arrows move the table meanwhile."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Input


class FilterLine(Input):
    """Words to look for in ``table``.

    Args:
        table: what is narrowed; it gets the keys that move its cursor.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"move('{how}')", show=False)
        for key, how in {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}.items()
    ]

    def __init__(self, table: DataTable[object], placeholder: str) -> None:
        super().__init__(placeholder=placeholder, compact=True, id="filter")
        self._table = table

    def action_move(self, how: str) -> None:
        """Move the table's cursor."""
        getattr(self._table, f"action_{how}")()
