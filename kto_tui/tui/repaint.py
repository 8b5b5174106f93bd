"""Writes only the cells that differ from what the terminal shows: over a slow line every byte is waited for."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import cast

from rich.cells import get_character_cell_size, split_graphemes
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

# What a cell shows and the SGR codes it is written with; the second half of a wide character shows "".
Cell = tuple[str, str]
Row = list[Cell | None]
Piece = tuple[int, Iterable[Segment]]  # from which column on
GAP = 4  # cells: fewer unchanged ones are cheaper to write again than to jump over


class Repaint(CompositorUpdate):
    """An update of Textual's, cut down to what differs when it is written."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, shown: "Shown") -> None:
        self._update = update
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        """The escape sequences that turn what is shown into the update."""
        # Rich itself has no public name for what it found out about the terminal's colours.
        colours = console._color_system or ColorSystem.TRUECOLOR  # noqa: SLF001
        if isinstance(self._update, LayoutUpdate):
            region = self._update.region
            self._shown.resize(region.width, region.height)
            rows = enumerate(self._update.strips, region.y)
            pieces: list[tuple[int, list[Piece]]] = [(y, [(region.x, chain.from_iterable(one))]) for y, one in rows]
        else:
            self._shown.resize(self._update.chop_ends[0][-1], len(self._update.chops))
            pieces = [(y, self._chops(y)) for y in sorted({y for y, _, _ in self._update.spans})]
        return "".join(self._shown.show(y, found, colours) for y, found in pieces)

    def _chops(self, y: int) -> list[Piece]:
        """The pieces of row ``y`` that were rendered anew: those outside every span may lie behind others."""
        update = cast("ChopsUpdate", self._update)
        spans = [(x1, x2) for row, x1, x2 in update.spans if row == y]
        chops = zip(update.chop_ends[y], update.chops[y].items(), strict=True)
        return [
            (x, strip)
            for end, (x, strip) in chops
            if strip is not None and any(x < x2 and end > x1 for x1, x2 in spans)
        ]


class Shown:
    """What the terminal shows, cell by cell; None where that is not known."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def forget(self) -> None:
        """Something else may have written to the terminal: whatever is drawn next is written whole."""
        self._rows = [[None] * len(row) for row in self._rows]

    def differing(self, update: LayoutUpdate | ChopsUpdate) -> Repaint:
        """``update``, to be written as what differs from this."""
        return Repaint(update, self)

    def resize(self, width: int, height: int) -> None:
        """Forget everything unless this is the size already."""
        if len(self._rows) != height or any(len(row) != width for row in self._rows[:1]):
            self._rows = [[None] * width for _ in range(height)]

    def show(self, y: int, pieces: Iterable[Piece], colours: ColorSystem) -> str:
        """What to write for row ``y`` to show ``pieces``, each from its column on."""
        before = self._rows[y]
        now = before.copy()
        for x, segments in pieces:
            cells = [cell for segment in segments for cell in _cells(segment, colours)]
            now[x : x + len(cells)] = cells
        self._rows[y] = now = now[: len(before)]
        return "".join(_difference(before, now, y))


def _cells(segment: Segment, colours: ColorSystem) -> list[Cell]:
    text = segment.text
    codes = "" if segment.style is None else _codes(segment.style, colours)
    if text.isascii() or all(get_character_cell_size(character) == 1 for character in text):
        return [(character, codes) for character in text]
    cells: list[Cell] = []
    for begin, end, width in split_graphemes(text)[0]:
        if width:
            cells += [(text[begin:end], codes), *[("", codes)] * (width - 1)]
        elif cells:
            cells[-1] = (cells[-1][0] + text[begin:end], codes)
    return cells


@lru_cache(maxsize=4096)
def _codes(style: Style, colours: ColorSystem) -> str:
    """Without the terminal's own colours, unless they could be part of another: each change begins with a reset."""
    codes = Strip.render_ansi(style, colours)
    if "38;" in codes or "48;" in codes:
        return codes
    return ";".join(code for code in codes.split(";") if code not in {"39", "49"})


def _difference(before: Row, now: Row, y: int) -> Iterator[str]:
    at, codes = -1, ""  # where the cursor stands, and how it writes
    for x, cell in enumerate(now):
        if cell is None or before[x] == cell:
            continue
        between = now[at:x] if at >= 0 and x - at <= GAP else [None]
        if None in between:
            yield f"\x1b[{y + 1};{x + 1}H"
            between = []
        for character, wanted in cast("list[Cell]", [*between, cell]):
            if wanted != codes:
                yield f"\x1b[0;{wanted}m" if wanted else "\x1b[0m"
                codes = wanted
            yield character
        at = x + 1
    if codes:
        yield "\x1b[0m"
