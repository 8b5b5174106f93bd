"""The table of runs: its columns, as many as there is room for, a run's cells, and the lines below it."""

import time

from rich.text import Text
from textual.content import Content

from kto_tui import units
from kto_tui.runs.heldout_words import figure, name_of
from kto_tui.runs.overview import RunSummary
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.sparkline import sparkline

# Width of each column, a space behind it included; 80 columns hold the narrow ones.
NARROW = {"": 2, "Run": 16, "State": 9, "Step": 12, "Loss": 7, "Best": 5, "Last": 5, "Curve": 13, "Size": 9}
WIDE = {**NARROW, "tok/s": 7, "Start": 12, "Curve": 21, "Title and tags": 33}
WIDE_FROM = 2 + sum(WIDE.values())
RIGHT = {"Step", "Loss", "Best", "Last", "Size", "tok/s"}


def cells(one: RunSummary, mark: str, columns: dict[str, int], *, plain: bool) -> dict[str, Text]:
    """What the table says of ``one`` in ``columns``, numbers to the right. ``mark``: its place among the chosen."""
    texts = {
        "": mark,
        "Run": one.id,
        "State": one.state,
        "Step": f"{one.step}/{one.total_steps or '?'}",
        "Loss": units.metric(one.loss),
        "Best": figure(one.heldout_best, one.heldout_loss_best, 2),
        "Last": figure(one.heldout_accuracy, one.heldout_loss, 2),
        "Curve": sparkline(one.shape, columns["Curve"] - 1, plain),
        "Size": units.size(one.size_bytes),
        "tok/s": units.metric(one.tokens_per_second, 0),
        "Start": "" if one.started is None else time.strftime("%m-%d %H:%M", time.localtime(one.started)),
        "Title and tags": titled(one),
    }
    row = {}
    for name, width in columns.items():
        cell = Text(texts[name].rjust(width - 1) if name in RIGHT else texts[name], no_wrap=True)
        cell.truncate(width - 1, overflow="ellipsis")
        row[name] = cell
    return row


def headers(columns: dict[str, int]) -> dict[str, str]:
    """The columns' names, over numbers to the right."""
    return {name: name.rjust(width - 1) if name in RIGHT else name for name, width in columns.items()}


def titled(one: RunSummary) -> str:
    """Title and tags of a run in a line."""
    return " ".join([one.title, *(f"#{tag}" for tag in one.tags)]).strip()


def detail(one: RunSummary) -> Content:
    """What the table has no room for: title, tags, held-out figures in words, the note or how it ended."""
    curve = "reward margin" if one.shape_of == "margin" else "loss"
    best, last = figure(one.heldout_best, one.heldout_loss_best), figure(one.heldout_accuracy, one.heldout_loss)
    figures = f"held-out {name_of(one.heldout_best, one.heldout_loss_best)} best {best}, last {last} · curve: {curve}"
    return Content("\n").join(
        [
            Content.assemble((one.id, "bold"), f"  {titled(one)}".rstrip()),
            Content(figures),
            Content(one_line(one.note or one.message or "")),
        ]
    )
