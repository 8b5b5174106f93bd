"""How curves are told apart: by colour, by the pattern of their dots, and in 7-bit ASCII by character."""

from functools import cache
from typing import NamedTuple

from textual.content import Content

STYLES = 6
_MOST_DOTS = 4096  # from the bottom of a terminal to its top
RAW = STYLES  # added to a style: the curve lies under its smoothed one


class LineStyle(NamedTuple):
    """One way to draw a curve.

    Attributes:
        colour: one of the terminal's own 16; no two are of the same luminance in xterm's palette.
        dots: along the path, from its beginning: "#" a dot, "." none; repeated.
        characters: of an ASCII cell with no dot, its lower, its upper, both.
    """

    name: str
    colour: str
    dots: str
    characters: str


LINES = (
    LineStyle("solid", "ansi_cyan", "#", " .':"),
    LineStyle("dashed", "ansi_bright_magenta", "####..", " ooo"),
    LineStyle("dotted", "ansi_bright_yellow", "#.", " xxx"),
    LineStyle("dash-dot", "ansi_bright_blue", "####.#..", " +++"),
    LineStyle("sparse dots", "ansi_default", "#...", " ***"),
    LineStyle("long dash", "ansi_red", "##########..", " @@@"),
)
RAW_DOTS, RAW_CHARACTERS = "#..", " ,`;"


def characters(paint: int) -> str:
    """The four ASCII cells of a style, or of a style + ``RAW``."""
    return LINES[paint].characters if paint < RAW else RAW_CHARACTERS


@cache
def dots(paint: int) -> tuple[int, int]:
    """The pattern of a style, or of a style + ``RAW``: a mask of dots, more than any terminal has, and its period."""
    pattern = LINES[paint].dots if paint < RAW else RAW_DOTS
    tiled = pattern * (_MOST_DOTS // len(pattern) + 2)
    return int(tiled[::-1].replace("#", "1").replace(".", "0"), 2), len(pattern)


def sample(style: int, *, ascii_only: bool, cells: int = 3) -> str:
    """A short level line in ``style``."""
    line = LINES[style % STYLES]
    if ascii_only:
        return line.characters[1] * cells
    pattern = (line.dots * (2 * cells))[: 2 * cells]
    pairs = zip(pattern[::2], pattern[1::2], strict=True)
    cell = {"##": "⠤", "#.": "⠄", ".#": "⠠", "..": " "}
    return "".join(cell[a + b] for a, b in pairs)


def legend(name: str, style: int, *, ascii_only: bool) -> Content:
    """A sample of the line in its colour, and the name."""
    return Content.assemble((sample(style, ascii_only=ascii_only), LINES[style % STYLES].colour), f" {name}")
