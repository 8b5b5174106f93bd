"""Properties of drawn curves: shape, gaps, locality, monotony, patterns and who lies on top."""

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.tui.widgets.axis import YRange
from kto_tui.tui.widgets.braille import Layer, Plot
from kto_tui.tui.widgets.braille import plot as plot_layers
from kto_tui.tui.widgets.line_styles import STYLES
from kto_tui.tui.widgets.path import Window

X_MAX = 100
CELL = {False: (2, 4), True: (1, 2)}  # dots across and down

Curve = list[tuple[float, float | None]]

values = st.one_of(st.none(), st.floats(), st.floats(-100, 100))
steps = st.integers(0, X_MAX)
sizes = st.integers(1, 20)


@st.composite
def curves(draw: st.DrawFn, ys: st.SearchStrategy[float | None] = values, min_size: int = 0) -> Curve:
    xs = sorted(draw(st.sets(steps, min_size=min_size)))
    return [(x, draw(ys)) for x in xs]


def plot(points: Curve, *, x_max: float, x_min: float = 0.0, style: int = 0, **options: Any) -> Plot:
    return plot_layers([Layer(points, style)], Window(x_min, x_max), **options)


def dots(drawing: Plot, ascii_only: bool) -> list[set[int]]:
    """Dot rows set in each dot column, counted from the bottom."""
    across, down = CELL[ascii_only]
    columns = [set() for _ in range(len(drawing.lines[0]) * across)]
    bits = [[0x40, 4, 2, 1], [0x80, 32, 16, 8]]
    for row, line in enumerate(reversed(drawing.lines)):
        for x, character in enumerate(line):
            if ascii_only:
                columns[x] |= {row * down + i for i in range(down) if " .':".index(character) >> i & 1}
                continue
            cell = 0 if character == " " else ord(character) - 0x2800
            for side in range(across):
                columns[x * across + side] |= {row * down + i for i in range(down) if cell & bits[side][i]}
    return columns


def reference(points: Curve, y_range: YRange, dot_columns: int, dot_rows: int) -> list[set[int]]:
    """Dot by dot what a solid curve over x from 0 to ``X_MAX`` draws, from the rules of the axes alone."""
    drawn: list[set[int]] = [set() for _ in range(dot_columns)]
    previous = None
    for x, y in points:
        if y is None or not abs(y) < 1e300:
            previous = None
            continue
        column = int(x / X_MAX * (dot_columns - 1) + 0.5)
        row = int((y - y_range.low) * ((dot_rows - 1) / (y_range.high - y_range.low)) + 0.5)
        across, up = (0, 0) if previous is None else (column - previous[0], row - previous[1])
        steps = max(abs(across), abs(up))
        for i in range(steps + 1):
            share = i / steps if steps else 1.0
            drawn[column - across + round(share * across)].add(row - up + round(share * up))
        previous = column, row
    return drawn


@given(curves(), sizes, sizes, st.booleans())
def test_solid_curve_is_drawn_dot_by_dot(points: Curve, columns: int, rows: int, ascii_only: bool) -> None:
    drawing = plot(points, columns=columns, rows=rows, x_max=X_MAX, ascii_only=ascii_only)
    if drawing.y_range is not None:
        across, down = CELL[ascii_only]
        expected = reference(points, drawing.y_range, columns * across, rows * down)
        assert dots(drawing, ascii_only) == expected


anything = st.lists(st.tuples(st.floats(), st.none() | st.floats()))
layers = st.lists(st.builds(Layer, anything | curves(), st.integers(0, 2 * STYLES), st.booleans()), max_size=4)
windows = st.builds(Window, st.floats(), st.floats()) | st.builds(Window, st.integers(-9, 50), st.integers(40, X_MAX))


@given(layers, windows, st.integers(-1, 9), st.integers(-1, 9), st.booleans(), st.booleans())
def test_nothing_raises_and_ink_is_painted(
    layers: list[Layer], window: Window, columns: int, rows: int, ascii_only: bool, log: bool
) -> None:
    drawing = plot_layers(layers, window, columns=columns, rows=rows, ascii_only=ascii_only, log=log)
    assert [len(line) for line in drawing.lines] == [max(columns, 0)] * max(rows, 0)
    text, paints = "".join(drawing.lines), b"".join(drawing.paints)
    assert text.isascii() or not ascii_only
    assert [character != " " for character in text] == [paint != 0 for paint in paints]
    assert set(paints) <= {0, *(layer.paint + 1 for layer in layers)}
    assert bool(text.strip()) == (drawing.y_range is not None and bool(text))


pinned = curves(st.none() | st.floats(-1, 1)).map(lambda points: [(-2, -1.0), (-1, 1.0), *points])
UNIT = {"columns": 12, "rows": 4, "y_range": YRange(-1.0, 1.0)}


@given(st.lists(st.tuples(pinned, st.integers(0, 5)), min_size=1, max_size=4), st.booleans())
def test_later_curves_lie_on_top(curves: list[tuple[Curve, int]], ascii_only: bool) -> None:
    layers, window = [Layer(points, style) for points, style in curves], Window(-2, X_MAX)
    drawing = plot_layers(layers, window, ascii_only=ascii_only, **UNIT)
    alone = [plot_layers([layer], window, ascii_only=ascii_only, **UNIT) for layer in layers]
    for y, (line, paints) in enumerate(zip(drawing.lines, drawing.paints, strict=True)):
        for x, (character, paint) in enumerate(zip(line, paints, strict=True)):
            here = [one.lines[y][x] for one in alone]
            top = max((i for i, drawn in enumerate(here) if drawn != " "), default=None)
            assert paint == (0 if top is None else layers[top].style + 1)
            assert character == (" " if top is None else here[top])


@given(curves(st.floats(-1, 1)), st.integers(0, STYLES - 1), st.booleans())
def test_pattern_leaves_out_dots_of_the_solid_line_and_no_lone_point(points: Curve, style: int, gaps: bool) -> None:
    if gaps:
        points = [(x, None if i % 2 else y) for i, (x, y) in enumerate(points)]
    size = {"columns": 60, "rows": 5, "x_max": X_MAX, "ascii_only": False}
    solid, patterned = (dots(plot(points, style=one, **size), ascii_only=False) for one in (0, style))
    assert all(some <= every for some, every in zip(patterned, solid, strict=True))
    if gaps:
        assert patterned == solid


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("course", [lambda x: 0.0, lambda x: x / 100, lambda x: (-1) ** x * (1 - x / 150)])
def test_styles_differ_without_colour(course: Any, ascii_only: bool) -> None:
    points = [(x, course(x)) for x in range(X_MAX + 1)]
    drawn = {
        plot(points, style=style, columns=20, rows=5, x_max=X_MAX, ascii_only=ascii_only).lines
        for style in range(STYLES)
    }
    assert len(drawn) == STYLES


@pytest.mark.parametrize("ascii_only", [False, True])
def test_line_to_a_point_outside_the_window_reaches_the_edge(ascii_only: bool) -> None:
    size = {"columns": 8, "rows": 4, "x_min": 40, "x_max": 60, "ascii_only": ascii_only}
    across = plot([(0, 0.0), (100, 100.0)], **size)
    assert dots(across, ascii_only) == dots(plot([(40, 40.0), (60, 60.0)], **size), ascii_only)
    assert (across.y_range.low, across.y_range.high) == (35.0, 65.0)
    for points in ([(0, 1.0), (100, None)], [(0, 1.0), (50, math.nan), (100, 1.0)]):
        assert plot(points, **size).y_range is None
    half = dots(plot([(0, 1.0), (50, 1.0), (100, None)], **size), ascii_only)
    assert [bool(column) for column in half] == [i <= len(half) // 2 for i in range(len(half))]


@given(curves(), st.integers(-500, 500), st.booleans())
def test_window_moves_with_the_points(points: Curve, by: int, ascii_only: bool) -> None:
    size = {"columns": 15, "rows": 5, "ascii_only": ascii_only}
    moved = plot([(x + by, y) for x, y in points], x_min=by, x_max=by + X_MAX, **size)
    assert moved == plot(points, x_max=X_MAX, **size)


@given(curves(st.floats(-3, 3)), st.booleans())
def test_log_scale_draws_the_logarithms(points: Curve, ascii_only: bool) -> None:
    pinned = [(-2, -3.0), (-1, 3.0), *points]
    size = {"columns": 15, "rows": 5, "x_min": -2, "x_max": X_MAX, "ascii_only": ascii_only}
    linear = plot([(x, math.log10(10**y)) for x, y in pinned], y_range=YRange(-3.0, 3.0), **size)
    log = plot([(x, 10**y) for x, y in pinned], y_range=YRange(1e-3, 1e3), log=True, **size)
    assert log.lines == linear.lines
    assert log.y_range == YRange(1e-3, 1e3)


@pytest.mark.parametrize("gap", [0.0, -0.0, -5.0, 1e-200])
def test_log_scale_has_no_place_for_zero_and_below(gap: float) -> None:
    size = {"columns": 20, "rows": 6, "x_max": 20, "ascii_only": False, "log": True}
    points = [(x, gap if 8 <= x <= 12 else 1.0 + x) for x in range(21)]
    without = [(x, None if y == gap else y) for x, y in points]
    assert plot(points, **size) == plot(without, **size)
    assert plot([(0, gap)], **size).y_range is None


@given(curves(), sizes, sizes, st.booleans())
def test_lines_have_the_asked_shape_and_characters(points: Curve, columns: int, rows: int, ascii_only: bool) -> None:
    drawing = plot(points, columns=columns, rows=rows, x_max=X_MAX, ascii_only=ascii_only)
    assert [len(line) for line in drawing.lines] == [columns] * rows
    allowed = set(" .':") if ascii_only else {" ", *map(chr, range(0x2801, 0x2900))}
    assert set("".join(drawing.lines)) <= allowed
    usable = [y for _, y in points if y is not None and abs(y) < 1e300]
    assert (drawing.y_range is None) == (not usable)
    assert ("".join(drawing.lines).strip() == "") == (not usable)
    if usable:
        assert drawing.y_range.low < drawing.y_range.high
        assert drawing.y_range.low <= min(usable)
        assert max(usable) <= drawing.y_range.high


@pytest.mark.parametrize(("columns", "rows"), [(0, 3), (3, 0), (0, 0), (-1, 2)])
def test_no_room_is_not_an_error(columns: int, rows: int) -> None:
    drawing = plot([(0, 1.0), (5, 2.0)], columns=columns, rows=rows, x_max=10, ascii_only=False)
    assert drawing.lines == (" " * columns,) * rows
    assert (drawing.y_range.low, drawing.y_range.high) == (0.75, 2.25)


def test_no_data_has_no_range() -> None:
    for points in ([], [(0, None)], [(0, math.nan), (1, math.inf)], [(-1, 2.0)], [(11, 2.0)], [(math.nan, 2.0)]):
        drawing = plot(points, columns=4, rows=2, x_max=10, ascii_only=False, y_range=YRange(0, 1))
        assert (drawing.lines, drawing.y_range) == ((" " * 4,) * 2, None)


def test_run_of_no_steps_draws_its_only_point() -> None:
    drawing = plot([(0, 3.0)], columns=4, rows=2, x_max=0, ascii_only=True)
    assert [line[1:] for line in drawing.lines] == ["   ", "   "]
    assert "".join(line[0] for line in drawing.lines).strip()


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_gap_is_neither_drawn_nor_joined(ascii_only: bool, gap: float | None) -> None:
    whole = [(x, float(x)) for x in range(X_MAX + 1)]
    broken = [(x, gap if 30 <= x <= 70 else y) for x, y in whole]
    size = {"columns": 20, "rows": 6, "x_max": X_MAX, "ascii_only": ascii_only}
    assert all(dots(plot(whole, **size), ascii_only))
    columns = dots(plot(broken, **size), ascii_only)
    first, last = (math.floor(x / X_MAX * (len(columns) - 1) + 0.5) for x in (29, 71))
    assert not any(columns[first + 1 : last])
    assert all(columns[: first + 1])
    assert all(columns[last:])


@given(curves(), st.floats(-1, 1), st.integers(0, STYLES - 1), st.booleans())
def test_new_point_changes_nothing_before_the_previous_one(
    points: Curve, y: float, style: int, ascii_only: bool
) -> None:
    points = [(x, None if v is None else math.fmod(v, 1.0) if math.isfinite(v) else v) for x, v in points]
    size = {"columns": 15, "rows": 5, "x_max": 2 * X_MAX, "ascii_only": ascii_only, "style": style}
    points = [(0, -1.0), (1, 1.0), *((x + 2, v) for x, v in points)]
    before = plot(points, **size, y_range=YRange(-1.0, 1.0))
    after = plot([*points, (2 * X_MAX, y)], **size, y_range=before.y_range)
    assert before.y_range == after.y_range == YRange(-1.0, 1.0)
    across, _ = CELL[ascii_only]
    previous = int(points[-1][0] / (2 * X_MAX) * (15 * across - 1) + 0.5) // across
    for old, new in zip(before.lines, after.lines, strict=True):
        assert old[:previous] == new[:previous]


@given(st.data(), st.booleans())
def test_monotone_data_are_drawn_monotone_and_continuous(data: st.DataObject, ascii_only: bool) -> None:
    points = data.draw(curves(st.floats(-50, 50), min_size=2))
    points = list(zip([x for x, _ in points], sorted(y for _, y in points), strict=True))
    drawing = plot(points, columns=12, rows=5, x_max=X_MAX, ascii_only=ascii_only)
    used = dots(drawing, ascii_only)
    drawn = [i for i, column in enumerate(used) if column]
    assert drawn == list(range(drawn[0], drawn[-1] + 1))
    for i in drawn[:-1]:
        assert min(used[i]) <= min(used[i + 1])
        assert max(used[i]) <= max(used[i + 1])
        assert min(used[i + 1]) - max(used[i]) <= 1
    for i in drawn:
        assert used[i] == set(range(min(used[i]), max(used[i]) + 1))


@pytest.mark.parametrize("ascii_only", [False, True])
def test_crowded_column_shows_its_whole_span(ascii_only: bool) -> None:
    points = [(x / 10, 1.0 if x % 2 else -1.0) for x in range(10 * X_MAX)]
    drawing = plot(points, columns=6, rows=4, x_max=X_MAX, ascii_only=ascii_only, y_range=YRange(-1.0, 1.0))
    full = set(range(4 * CELL[ascii_only][1]))
    assert all(column == full for column in dots(drawing, ascii_only))


def test_reference_drawings() -> None:
    points = [(0, 0.0), (7, 7.0)]
    size = {"columns": 4, "rows": 2, "x_max": 7, "y_range": YRange(0.0, 7.0)}
    assert plot(points, ascii_only=False, **size).lines == ("  ⡠⠊", "⡠⠊  ")
    assert plot([(0, 0.0), (3, 3.0)], ascii_only=True, columns=4, rows=2, x_max=3, y_range=YRange(0, 3)).lines == (
        "  .'",
        ".'  ",
    )


def test_many_points_are_fast() -> None:
    points = [(x, None if x % 1000 == 0 else math.sin(x / 5000)) for x in range(100_000)]
    start = time.perf_counter()
    plot(points, columns=100, rows=12, x_max=100_000, ascii_only=False)
    assert time.perf_counter() - start < 2.0
