"""Properties of drawn curves: shape, gaps, locality, monotony and the steadiness of the y axis."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.tui.widgets.braille import Plot, YRange, fit_range, plot

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
        assert drawing.low < drawing.high
        assert drawing.low <= min(usable)
        assert max(usable) <= drawing.high


@pytest.mark.parametrize(("columns", "rows"), [(0, 3), (3, 0), (0, 0), (-1, 2)])
def test_no_room_is_not_an_error(columns: int, rows: int) -> None:
    drawing = plot([(0, 1.0), (5, 2.0)], columns=columns, rows=rows, x_max=10, ascii_only=False)
    assert drawing.lines == (" " * columns,) * rows
    assert (drawing.low, drawing.high) == (0.75, 2.25)


def test_no_data_has_no_range() -> None:
    for points in ([], [(0, None)], [(0, math.nan), (1, math.inf)], [(-1, 2.0), (11, 2.0), (math.nan, 2.0)]):
        drawing = plot(points, columns=4, rows=2, x_max=10, ascii_only=False, y_range=YRange(0, 1))
        assert (drawing.lines, drawing.low, drawing.high) == ((" " * 4,) * 2, None, None)


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


@given(curves(), st.floats(-1, 1), st.booleans())
def test_new_point_changes_nothing_before_the_previous_one(points: Curve, y: float, ascii_only: bool) -> None:
    points = [(x, None if v is None else math.fmod(v, 1.0) if math.isfinite(v) else v) for x, v in points]
    size = {"columns": 15, "rows": 5, "x_max": 2 * X_MAX, "ascii_only": ascii_only}
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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.7, (0.0, 0.8)),
        (0.0, 1.0, (0.0, 1.25)),
        (0.5, 0.5, (0.44, 0.56)),
        (0.0, 0.0, (-1.0, 1.0)),
        (-310.0, -120.0, (-350.0, -100.0)),
        (2e-6, 2e-5, (0.0, 2.5e-5)),
    ],
)
def test_bounds_are_rounded(low: float, high: float, expected: tuple[float, float]) -> None:
    fitted = fit_range(low, high)
    assert (fitted.low, fitted.high) == pytest.approx(expected)


finite = st.floats(-1e299, 1e299)


@given(finite, finite, finite, finite)
def test_range_grows_at_once_and_shrinks_late(a: float, b: float, c: float, d: float) -> None:
    previous = fit_range(min(a, b), max(a, b))
    low, high = min(c, d), max(c, d)
    fitted = fit_range(low, high, previous)
    assert fitted.low <= low <= high <= fitted.high
    assert fitted.low < fitted.high
    if previous.low <= low and high <= previous.high and high - low >= 0.4 * (previous.high - previous.low):
        assert fitted == previous
    elif fitted != fit_range(low, high):
        assert fitted.low <= previous.low
        assert fitted.high >= previous.high
    assert fit_range(low, high, fitted) == fitted


def test_growing_side_alone_moves() -> None:
    assert fit_range(0.1, 1.3, YRange(0.0, 1.0)).low == 0.0
    assert fit_range(-0.2, 0.9, YRange(0.0, 1.0)).high == 1.0


def test_many_points_are_fast() -> None:
    points = [(x, None if x % 1000 == 0 else math.sin(x / 5000)) for x in range(100_000)]
    start = time.perf_counter()
    plot(points, columns=100, rows=12, x_max=100_000, ascii_only=False)
    assert time.perf_counter() - start < 2.0
