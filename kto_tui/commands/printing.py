"""How commands print: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

READABLE = 18  # terminal columns that a cell may be folded to
GAP = 2  # between two cells


def print_json(value: Any) -> None:  # noqa: ANN401
    """``value`` as indented JSON; a question mark for what no text holds, as in a file's name that is not UTF-8."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode("utf-8", "replace")
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def print_table(columns: list[str], rows: list[list[str]], spare: Sequence[str] | None = None) -> None:
    """A table without lines; as wide as the terminal, or 160 columns where there is none.

    Args:
        columns: their names.
        rows: a cell for each.
        spare: columns that may be missing in a narrow terminal, the first to go first; None: all but the first two,
            from the last.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    spare = columns[:1:-1] if spare is None else spare
    missing = _missing(columns, rows, spare, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        if column not in missing:
            table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for column, cell in zip(columns, row, strict=True) if column not in missing))
    console.print(table)
    if missing:
        sys.stdout.write(f"In a wider terminal also: {', '.join(name for name in columns if name in missing)}\n")


def _missing(columns: list[str], rows: list[list[str]], spare: Sequence[str], width: int) -> set[str]:
    """The columns there is no room for."""
    cells = zip(columns, zip(columns, *rows, strict=True), strict=True)
    needed = {column: min(READABLE, max(map(cell_len, texts))) + GAP for column, texts in cells}
    missing: set[str] = set()
    for column in spare:
        if sum(needed.values()) - GAP <= width:
            break
        del needed[column]
        missing.add(column)
    return missing
