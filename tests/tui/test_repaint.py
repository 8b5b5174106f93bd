"""What is written shows exactly what Textual asked for, and nothing is written twice."""

import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, split_graphemes
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from kto_tui.tui.repaint import Shown

WIDTH, HEIGHT = 12, 3
CONSOLE = Console(file=StringIO(), force_terminal=True, color_system="truecolor")
STYLES = [
    None,
    *map(Style.parse, ("bold", "red on default", "default on default", "dim #010203 on #040506", "reverse")),
]
# One, two and no cells wide; one that is several code points.
CHARACTERS = ["a", "b", " ", "⣿", "│", "漢", "👍", "e\u0301", "…"]

cell = st.tuples(st.sampled_from(CHARACTERS), st.sampled_from(STYLES))


@st.composite
def rows(draw: st.DrawFn, width: int = WIDTH) -> list[Segment]:
    """Segments that fill ``width`` cells exactly."""
    segments, used = [], 0
    while used < width:
        text, style = draw(cell)
        if used + cell_len(text) <= width:
            segments.append(Segment(text, style))
            used += cell_len(text)
    return segments


screens = st.lists(rows(), min_size=HEIGHT, max_size=HEIGHT)
Grid = list[list[tuple[str, str]]]


def full(screen: list[list[Segment]]) -> LayoutUpdate:
    return LayoutUpdate([[Strip(row)] for row in screen], Region(0, 0, WIDTH, HEIGHT))


def play(grid: Grid, written: str) -> None:
    """As a terminal does it: ``written`` has moves, SGR codes and text; half of a wide character does not stay."""
    x = y = 0
    codes = ""
    for move, sgr, text in re.findall(r"\x1b\[(\d+;\d+)H|\x1b\[([\d;]*)m|([^\x1b]+)", written):
        if move:
            y, x = (int(part) - 1 for part in move.split(";"))
        elif not text:
            codes = ";".join(code for code in sgr.split(";") if code not in {"", "0"})
        for begin, end, width in split_graphemes(text)[0]:
            for column in range(x, x + width):
                if grid[y][column][0] == "" and column and column - 1 < x:
                    grid[y][column - 1] = (" ", "")
                if column + 1 < WIDTH and grid[y][column + 1][0] == "" and column + 1 >= x + width:
                    grid[y][column + 1] = (" ", "")
            grid[y][x : x + width] = [(text[begin:end], codes), *[("", codes)] * (width - 1)]
            x += width


def wanted(screen: list[list[Segment]]) -> Grid:
    """What the terminal shows when everything is written to an empty one, by the same rules."""
    grid: Grid = [[(" ", "")] * WIDTH for _ in range(HEIGHT)]
    play(grid, Shown().differing(full(screen)).render_segments(CONSOLE))
    return grid


@given(st.lists(screens, min_size=1, max_size=4))
def test_differences_show_what_whole_screens_would(shown_in_turn: list[list[list[Segment]]]) -> None:
    shown = Shown()
    grid: Grid = [[("?", "?")] * WIDTH for _ in range(HEIGHT)]
    for screen in shown_in_turn:
        play(grid, shown.differing(full(screen)).render_segments(CONSOLE))
        assert grid == wanted(screen)


@given(screens, rows(4), st.integers(0, HEIGHT - 1))
def test_a_part_of_a_row_changes_that_part(screen: list[list[Segment]], part: list[Segment], y: int) -> None:
    screen = [[Segment("." * WIDTH)] if row == y else segments for row, segments in enumerate(screen)]
    shown = Shown()
    grid: Grid = [[("?", "?")] * WIDTH for _ in range(HEIGHT)]
    play(grid, shown.differing(full(screen)).render_segments(CONSOLE))
    chops: list[dict[int, Strip | None]] = [dict.fromkeys((0, 4, 8)) for _ in range(HEIGHT)]
    chops[y] = {0: None, 4: Strip(part), 8: Strip([Segment("behind")])}
    update = ChopsUpdate(chops, [(y, 5, 7)], [[4, 8, 12]] * HEIGHT)
    play(grid, shown.differing(update).render_segments(CONSOLE))
    screen[y] = [Segment("." * 4), *part, Segment("." * 4)]
    assert grid == wanted(screen), "the piece outside the span may lie behind another and is not shown"


@given(screens)
def test_what_is_shown_already_is_not_written(screen: list[list[Segment]]) -> None:
    shown = Shown()
    assert shown.differing(full(screen)).render_segments(CONSOLE)
    assert shown.differing(full(screen)).render_segments(CONSOLE) == ""
    shown.forget()
    assert play_on(" ", shown.differing(full(screen)).render_segments(CONSOLE)) == wanted(screen)


def play_on(filled: str, written: str) -> Grid:
    grid: Grid = [[(filled, "")] * WIDTH for _ in range(HEIGHT)]
    play(grid, written)
    return grid


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        ("step 131/500", "step 132/500", "\x1b[1;8H2"),
        ("aaaaaaaaaaaa", "abaaabaaaaaa", "\x1b[1;2Hbaaab"),
        ("aaaaaaaaaaaa", "abaaaaaaaaab", "\x1b[1;2Hb\x1b[1;12Hb"),
        ("aaaaaaaaaaaa", "aaaaaaaaaaaa", ""),
    ],
)
def test_bytes_of_a_change(before: str, after: str, written: str) -> None:
    shown = Shown()
    shown.differing(full([[Segment(before)]] * HEIGHT)).render_segments(CONSOLE)
    update = full([[Segment(after)], *[[Segment(before)]] * (HEIGHT - 1)])
    assert shown.differing(update).render_segments(CONSOLE) == written


@pytest.mark.parametrize(
    ("style", "code"),
    [("default on default", ""), ("bold default on default", "1"), ("blue on default", "34"), ("color(39)", "38;5;39")],
)
def test_the_terminals_own_colours_are_not_spelt_out(style: str, code: str) -> None:
    strip = [Segment("x" * WIDTH, Style.parse(style))]
    written = Shown().differing(full([strip] * HEIGHT)).render_segments(CONSOLE)
    assert set(re.findall(r"\x1b\[([\d;]*)m", written)) == ({f"0;{code}", "0"} if code else set())
