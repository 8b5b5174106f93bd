"""Predicted memory as a bar, a letter for each part, a mark where free memory ends; below it figures and verdict."""

import textwrap
from itertools import groupby

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from kto_tui import units
from kto_tui.memory.estimate import NOT_ON_METAL, Estimate
from kto_tui.memory.parts import PARTS, parts_of
from kto_tui.planner import Plan

# A letter and a colour for each part: what the bar says must survive without the colour.
LETTERS = {
    "weights": ("W", "ansi_bright_blue"),
    "adapter": ("A", "ansi_magenta"),
    "gradients": ("G", "ansi_cyan"),
    "optimizer": ("O", "ansi_yellow"),
    "activations": ("X", "ansi_green"),
    "head": ("H", "ansi_bright_red"),
    "passes": ("K", "ansi_green"),
    "outside": ("U", "ansi_white"),
}
SHORT = {**{name: name for name in PARTS}, "head": "head", "passes": "KL, reference"}
QUALITY = {
    "measured": "corrected by runs here",
    "traced": "traced, not measured here yet",
    "fitted": "fitted, not measured here",
    "rough": "rough, about ±25 %",
}
SHORT_NOTES = {NOT_ON_METAL: "fitted, not measured on Metal"}
SLACK, FREE, END = "r", ".", "┃"
VERDICTS = {"FITS": "bold $text-success", "TIGHT": "bold $text-warning", "NO": "bold $text-error", "UNKNOWN": "bold"}
WIDE = 120


def cells(predicted: Estimate, free: int | None, width: int) -> str:
    """The bar as ``width`` characters: parts, ``r`` what the allocator may reserve beyond them, ``.`` free memory.

    A mark stands where free memory ends; it lies inside the parts where they need more than is free.
    """
    slack = max(0.0, predicted.reserved - predicted.allocated)
    scale = max(predicted.total + slack, free or 0.0)
    room = width - (free is not None)
    bar, filled = "", 0.0
    for letter, part in [*((LETTERS[name][0], part) for name, part in parts_of(predicted)), (SLACK, slack)]:
        filled += part
        bar += letter * (round(room * filled / scale) - len(bar))
    bar = bar.ljust(room, FREE)
    if free is None:
        return bar
    at = round(room * max(0, free) / scale)
    return bar[:at] + END + bar[at:]


def _styled(bar: str) -> Content:
    colours = dict(LETTERS.values())
    runs = [(at, "".join(run)) for at, run in groupby(bar)]
    return Content.assemble(
        *(
            (run, f"ansi_black on {colours[at]}" if at in colours else "bold" if at == END else "dim")
            for at, run in runs
        )
    )


def legend(predicted: Estimate, width: int) -> str:
    """The parts in GiB, their sum, what the allocator may reserve, and how far to trust that, in lines of ``width``."""
    narrow = SHORT_NOTES.get(predicted.note, QUALITY[predicted.quality])
    names, note = (PARTS, predicted.note) if width >= WIDE else (SHORT, narrow)
    parts = [
        f"{LETTERS[name][0]} {names[name]} {_gib(part)}".replace(" ", "\xa0")  # textwrap leaves these together
        for name, part in parts_of(predicted)
        if part >= units.MIB / 2
    ]
    reserved = (
        f", with r likely {_gib(predicted.reserved)} reserved" if predicted.reserved > predicted.allocated else ""
    )
    total = f"=\xa0{_gib(predicted.total)}\xa0GiB ({_gib(predicted.allocated)} allocated{reserved}); {note}"
    return textwrap.fill("  ".join([*parts, total]), width).replace("\xa0", " ")


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / units.GIB:.1f}" if n_bytes >= 0.095 * units.GIB else f"{n_bytes / units.GIB:.2f}"


def verdict_line(plan: Plan) -> Content:
    """The verdict in a word, why, and what would make it fit."""
    line = Content.assemble((plan.verdict, VERDICTS[plan.verdict]), f"  {plan.verdict_because}")
    return line if plan.would_fit is None else Content("\n").join([line, Content(plan.would_fit)])


class PartsBar(Static):
    """A plan's memory against what is free."""

    def __init__(self, plan: Plan | None = None, free: int | None = None) -> None:
        super().__init__(id="parts")
        self._shown = (plan, free)

    def show(self, plan: Plan, free: int | None) -> None:
        """Draw another plan."""
        self._shown = (plan, free)
        self._draw(self.size)

    def on_resize(self) -> None:
        """The bar is as wide as there is room."""
        self._draw(self.size)

    def _draw(self, size: Size) -> None:
        plan, free = self._shown
        if plan is None or size.width < 2:
            return
        lines = [verdict_line(plan)]
        if (predicted := plan.predicted) is not None:
            lines[:0] = [_styled(cells(predicted, free, size.width)), Content(legend(predicted, size.width))]
        self.update(Content("\n").join(lines))
