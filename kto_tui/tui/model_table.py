"""The Model screen's table: its columns, as many as there is room for, and a candidate's cells."""

from rich.text import Text

from kto_tui import units
from kto_tui.tui.candidates import Candidate

# Width of each column, a space behind it included; 80 columns hold the narrow ones.
NARROW = {"Model": 20, "": 16, "Size": 7, "Needs": 9, "of free": 8, "Verdict": 9, "1k rows": 8}
WIDE = {**NARROW, "Model": 42, "": 23, "Licence": 27}


def cells(one: Candidate, free: int | None, columns: dict[str, int]) -> list[Text]:
    """What the table says of ``one`` in ``columns``, numbers to the right.

    Args:
        one: the row.
        free: bytes of memory free; None where unknown.
        columns: ``NARROW`` or ``WIDE``.
    """
    share = one.needs / free if one.needs is not None and free else None
    texts = {
        "Model": one.model.id if columns is WIDE else one.model.title,
        "": " ".join(one.marks),
        "Size": units.parameters(one.model.parameters).rjust(columns["Size"] - 1),
        "Needs": units.size(one.needs).rjust(columns["Needs"] - 1),
        "of free": units.percent(share).rjust(columns["of free"] - 1),
        "Verdict": one.plan.verdict,
        "1k rows": one.pace,
        "Licence": one.model.licence or "unknown",
    }
    row = []
    for name, width in columns.items():
        cell = Text(texts[name], "bold" if name == "Verdict" else "", no_wrap=True)
        cell.truncate(width - 1, overflow="ellipsis")
        row.append(cell)
    return row


def headers(columns: dict[str, int]) -> list[Text]:
    """The columns' names, over numbers to the right."""
    right = {"Size", "Needs", "of free"}
    return [Text(name.rjust(width - 1) if name in right else name) for name, width in columns.items()]
