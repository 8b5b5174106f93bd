"""What is repainted is what changed, and is painted as it should be."""

from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from kto_tui.tui.widgets.cells import BLANK, MARKED, Row, changed, painted

WIDTH = 30
STYLES = {BLANK: Style(dim=True), 1: Style(color="red"), 2: Style(color="blue"), MARKED | 1: Style(reverse=True)}
rows = st.lists(st.sampled_from([(" ", 0), ("a", 1), ("a", 2), ("b", 2), ("c", MARKED | 1)]), min_size=WIDTH).map(
    lambda cells: ("".join(text for text, _ in cells)[:WIDTH], bytes(paint for _, paint in cells)[:WIDTH])
)
edits = st.lists(st.tuples(st.integers(0, 2), st.integers(0, WIDTH - 1), st.integers(0, 2)))


@given(st.lists(rows, min_size=3, max_size=3), edits)
def test_repainting_the_regions_gives_the_new_rows(before: list[Row], edits: list[tuple[int, int, int]]) -> None:
    cells = [[*zip(*row, strict=True)] for row in before]
    for y, x, paint in edits:
        cells[y][x] = ("x", paint)
    after = [("".join(text for text, _ in row), bytes(paint for _, paint in row)) for row in cells]
    screen = [[*zip(*row, strict=True)] for row in before]
    for region in changed(before, after):
        assert region.height == 1
        for x in {region.x, region.right - 1}:
            assert screen[region.y][x] != cells[region.y][x], "it begins and ends with a cell that changed"
        screen[region.y][region.x : region.right] = cells[region.y][region.x : region.right]
    assert screen == cells


@given(rows)
def test_ink_has_its_style_and_blanks_are_never_marked(row: Row) -> None:
    strip = painted(row, STYLES.__getitem__)
    assert strip.text == row[0]
    drawn = [(character, segment.style) for segment in strip for character in segment.text]
    for (character, style), paint in zip(drawn, row[1], strict=True):
        assert style == STYLES[paint] if character != " " else style != STYLES[MARKED | 1]


def test_distant_changes_are_apart_and_near_ones_together() -> None:
    before, blank = [(" " * WIDTH, bytes(WIDTH))], bytes(WIDTH)
    near, far = ("a  a" + " " * (WIDTH - 4), blank), ("a" + " " * (WIDTH - 2) + "a", blank)
    assert [region.size for region in changed(before, [near])] == [(4, 1)]
    assert [(region.x, region.width) for region in changed(before, [far])] == [(0, 1), (WIDTH - 1, 1)]
    assert list(changed(before, before)) == []
