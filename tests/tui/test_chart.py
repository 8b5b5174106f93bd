"""The chart in a running app: what it shows and what it repaints."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Region, Size

from kto_tui.tui.widgets.braille import Layer, plot
from kto_tui.tui.widgets.chart import Chart, Curve
from kto_tui.tui.widgets.path import Window

X_MAX = 500
CONTENT_HEIGHT = 22
POINTS = [(x, 1.0 - x / 1000) for x in range(200)]


class ChartApp(App[None]):
    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.chart = Chart("loss [a]", ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        yield self.chart


def content(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


def screen(app: App[None]) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.fixture
def refreshed(monkeypatch: pytest.MonkeyPatch) -> list[Region | None]:
    """Regions of every refresh of a chart; None for a refresh of the whole widget."""
    seen: list[Region | None] = []
    original = Chart.refresh

    def refresh(self: Chart, *regions: Region, **options: bool) -> Chart:
        seen.extend(regions or (None,))
        return original(self, *regions, **options)

    monkeypatch.setattr(Chart, "refresh", refresh)
    return seen


def painting(app: App[None]) -> list[list[tuple[str, str]]]:
    """Characters of the screen with their styles."""
    return [
        [(character, str(segment.style)) for segment in strip for character in segment.text]
        for strip in app.screen._compositor.render_strips()
    ]


async def test_without_data_says_so() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)):
        rows = content(app.chart)
        assert [row.strip() for row in rows if row.strip()] == ["no data yet"]
        assert rows[(CONTENT_HEIGHT - 1) // 2].index("no data yet") == (78 - 11) // 2
        assert "loss [a]" in screen(app)[0]


async def test_shows_curve_labels_and_borders() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve("loss", POINTS)], X_MAX, "0.801")
        await pilot.pause()
        rows = screen(app)
        assert "loss [a]  0.801" in rows[0]
        assert "0 .. 500" in rows[-1]
        assert rows[1][1:8] == "  1.05 "
        assert float(rows[-2][1:8]) == pytest.approx(0.75)
        assert all(row[1:8].isspace() for row in rows[2:-2])
        assert any("\u2800" < character < "\u2900" for row in rows for character in row)
        assert {len(row) for row in rows} == {80}
        assert rows[1:-1] == [f"│{row}│" for row in content(app.chart)]


async def test_refreshes_only_what_changed(refreshed: list[Region | None]) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve("loss", POINTS)], X_MAX, "0.801")
        await pilot.pause()
        refreshed.clear()

        app.chart.show([Curve("loss", list(POINTS))], X_MAX, "0.801")
        assert refreshed == []

        app.chart.show([Curve("loss", [*POINTS, (210, 0.8)])], X_MAX, "0.801")
        assert None not in refreshed
        assert 1 <= len(refreshed) <= 2
        assert all(region.width <= 3 and 0 <= region.y < CONTENT_HEIGHT for region in refreshed)

        refreshed.clear()
        app.chart.show([Curve("loss", [*POINTS, (210, 0.8)])], X_MAX, "0.800")
        assert refreshed == [Region(-1, -1, 19, 1)]

        refreshed.clear()
        app.chart.show([Curve("loss", [*POINTS, (210, 0.8)])], X_MAX + 0.0001, "0.800")
        assert refreshed == [Region(-1, CONTENT_HEIGHT, 80, 1)]
        await pilot.pause()


async def test_partial_repaint_equals_full_repaint() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for count in (1, 2, 50, 51, 199, 200):
            app.chart.show([Curve("loss", POINTS[:count])], X_MAX, f"{count}")
            await pilot.pause()
            partial = screen(app)
            app.chart.refresh()
            await pilot.pause()
            assert screen(app) == partial
            assert f"loss [a]  {count} " in partial[0]
        app.chart.show([Curve("loss", [])], X_MAX, "")
        await pilot.pause()
        assert [row.strip() for row in content(app.chart) if row.strip()] == ["no data yet"]


@pytest.mark.parametrize("size", [(60, 10), (120, 40), (12, 4), (9, 3), (4, 2), (1, 1)])
async def test_resize_draws_again(size: tuple[int, int]) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve("loss", POINTS)], X_MAX, "0.801")
        await pilot.pause()
        await pilot.resize_terminal(*size)
        await pilot.pause()
        rows = content(app.chart)
        assert (len(rows), {len(row) for row in rows}) == (
            max(size[1] - 2, 0),
            {max(size[0] - 2, 0)} if size[1] > 2 else set(),
        )
        app.chart.show([Curve("loss", POINTS[:100])], X_MAX, "0.9")
        await pilot.pause()


async def test_data_shown_before_mounting_appear() -> None:
    app = ChartApp()
    app.chart.show([Curve("loss", POINTS)], X_MAX, "0.801")
    async with app.run_test(size=(80, 24)):
        rows = screen(app)
        assert "loss [a]  0.801" in rows[0]
        assert "1.05" in rows[1]


async def test_ascii_only_draws_in_seven_bits() -> None:
    app = ChartApp(ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve("loss", POINTS)], X_MAX, "0.801")
        await pilot.pause()
        text = "".join(screen(app))
        assert text.isascii()
        assert ":" in "".join(content(app.chart)) or "'" in "".join(content(app.chart))


def noisy(seed: int) -> list[tuple[float, float | None]]:
    rng = random.Random(seed)
    return [(x, None if x % 97 == 5 else math.exp(-x / 200) + 0.2 * rng.random()) for x in range(300)]


CURVES = [Curve("chosen", noisy(1)), Curve("rejected", noisy(2), 1)]


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_whatever_changes_partial_repaint_equals_full_repaint(ascii_only: bool) -> None:
    app = ChartApp(ascii_only=ascii_only)
    chart = app.chart
    changes: list[Callable[[], None]] = [
        lambda: chart.show(CURVES, X_MAX, "1.2"),
        lambda: setattr(chart, "cursor", 120.0),
        lambda: setattr(chart, "cursor", 200.0),
        lambda: setattr(chart, "log_scale", True),
        lambda: setattr(chart, "smoothing", 0.9),
        lambda: setattr(chart, "chosen", True),
        lambda: chart.show(CURVES, 260.0, "1.2", x_min=40.0),
        lambda: chart.show(CURVES, 270.0, "1.1", x_min=50.0),
        lambda: setattr(chart, "log_scale", False),
        lambda: chart.show([*CURVES, Curve("third", noisy(3), 2)], 270.0, "1.1", x_min=50.0),
        lambda: setattr(chart, "cursor", None),
        lambda: chart.show(CURVES[:1], X_MAX, ""),
        lambda: setattr(chart, "smoothing", 0.0),
        lambda: setattr(chart, "chosen", False),
        lambda: chart.show([], X_MAX, ""),
    ]
    async with app.run_test(size=(80, 24)) as pilot:
        for change in changes:
            before = painting(app)
            change()
            await pilot.pause()
            partial = painting(app)
            assert partial != before
            chart.refresh()
            await pilot.pause()
            assert painting(app) == partial


async def test_whole_chart_is_never_repainted_for_a_setting(refreshed: list[Region | None]) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show(CURVES, X_MAX, "1.2")
        await pilot.pause()
        for name, value, cells in (
            ("chosen", True, 19),
            ("cursor", 120.0, 22),
            ("cursor", 121.0, 0),
            ("cursor", 128.0, 44),
            ("cursor", None, 22),
            ("chosen", False, 19),
        ):
            refreshed.clear()
            setattr(app.chart, name, value)
            assert None not in refreshed
            assert sum(region.area for region in refreshed) == cells, (name, value)


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_words_say_what_is_drawn(ascii_only: bool) -> None:
    app = ChartApp(ascii_only=ascii_only)
    chart = app.chart
    chart.log_scale, chart.smoothing, chart.chosen = True, 0.6, True
    chart.show(CURVES, X_MAX, "1.2", x_min=100.0)
    async with app.run_test(size=(80, 24)) as pilot:
        rows = screen(app)
        assert ">loss [a]  1.2  log, smoothing 0.6<" in rows[0]
        samples = ("...", "ooo") if ascii_only else ("⠤⠤⠤", "⠤⠤ ")
        assert f"100 .. 500  {samples[0]} chosen  {samples[1]} rejected" in rows[-1]
        assert (float(rows[1][1:8]), float(rows[-2][1:8])) == (1.0, 0.2)
        chart.log_scale, chart.smoothing, chart.chosen = False, 0.0, False
        chart.show(CURVES[:1], X_MAX, "1.2")
        await pilot.pause()
        rows = screen(app)
        assert " loss [a]  1.2 " in rows[0]
        assert " 0 .. 500 " in rows[-1]
        chart.show(CURVES, 450.0, "", x_min=400.0)
        await pilot.pause()
        assert "no data in this window" in "".join(screen(app))
        chart.log_scale = True
        await pilot.pause()
        assert "nothing above 0 in this window" in "".join(screen(app))


async def test_smoothed_curve_is_drawn_over_the_dimmed_raw_one() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show(CURVES[:1], X_MAX, "")
        app.chart.smoothing = 0.95
        await pilot.pause()
        drawn = {(style.dim, style.color) for row in ink(app.chart) for _, style in row}
    colours = {colour for _, colour in drawn}
    assert len(colours) == 1
    assert {dim for dim, _ in drawn} == {True, False}


def ink(chart: Chart) -> list[list[tuple[str, Style]]]:
    """Drawn braille of each row, with its style."""
    strips = [chart.render_line(y) for y in range(chart.size.height)]
    return [
        [(character, segment.style) for segment in strip for character in segment.text if character > "\u2800"]
        for strip in strips
    ]


async def test_curves_have_colours_of_their_own() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve(str(i), [(0, i), (400, i + 1)], i) for i in range(6)], X_MAX, "")
        await pilot.pause()
        assert len({style.color for row in ink(app.chart) for _, style in row}) == 6


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize(
    ("cursor", "column"),
    [(0.0, 7), (500.0, 77), (250.0, 42), (-50.0, 7), (1e9, 77), (math.inf, 77), (-math.inf, 7), (math.nan, None)],
)
async def test_cursor_stands_inside(cursor: float, column: int | None, ascii_only: bool) -> None:
    app = ChartApp(ascii_only=ascii_only)
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show([Curve("loss", [(0, 1.0), (100, 2.0)])], X_MAX, "")
        before = content(app.chart)
        app.chart.cursor = cursor
        await pilot.pause()
        changed = {
            x for old, new in zip(before, content(app.chart), strict=True) for x in range(78) if old[x] != new[x]
        }
        assert changed == ({column} if column is not None else set())


A = [(0, 1.0), (10, 0.5), (20, None), (30, math.nan), (40, 0.25)]
B = [(0, -3e-5), (15, 12345.678), (15, 12345.688), (41, 2.0)]


@pytest.mark.parametrize(
    ("curves", "cursor", "reading"),
    [
        ([Curve("loss", A)], 0.0, "step 0  loss 1"),
        ([Curve("loss", A)], 9.6, "step 10  loss 0.5"),
        ([Curve("loss", A)], 24.0, "step 10  loss 0.5"),
        ([Curve("loss", A)], 26.0, "step 40  loss 0.25"),
        ([Curve("loss", A), Curve("margin", B)], 0.0, "step 0  loss 1  margin -3e-05"),
        ([Curve("loss", A), Curve("margin", B)], 14.0, "step 15  loss 0.5 at 10  margin 1.235e+04"),
        ([Curve("loss", B, means=[(0, 1.0), (15, 7.0)])], 14.0, "step 15  loss 7"),
        ([Curve("loss", A), Curve("kl", [(3, None)]), Curve("lr", [])], 1e9, "step 40  loss 0.25"),
        ([Curve("loss", A)], None, ""),
        ([Curve("loss", A)], math.nan, ""),
        ([Curve("loss", [])], 3.0, ""),
        ([], 3.0, ""),
    ],
)
def test_reading_says_what_is_nearest(curves: list[Curve], cursor: float | None, reading: str) -> None:
    chart = Chart("loss")
    chart.cursor = cursor
    assert chart.reading() == ""
    chart.show(curves, 100.0, "")
    assert chart.reading() == reading


def test_reading_names_its_x() -> None:
    chart = Chart("memory", x_name="second")
    chart.show([Curve("GiB", [(0, 1.0), (61.5, 6.25)])], 64.0, "")
    chart.cursor = 60.0
    assert chart.reading() == "second 61.5  GiB 6.25"


class SizedChart(Chart):
    """A chart that no app lays out."""

    drawn = Size(0, 0)

    @property
    def size(self) -> Size:
        return self.drawn


@given(
    st.lists(st.tuples(st.floats(), st.none() | st.floats()), max_size=20),
    st.tuples(st.floats(), st.floats()),
    st.none() | st.floats(),
    st.booleans(),
    st.floats(),
    st.tuples(st.integers(0, 40), st.integers(0, 9)),
)
def test_any_floats_are_drawn_in_rows_of_the_asked_size(
    points: list[tuple[float, float | None]],
    window: tuple[float, float],
    cursor: float | None,
    log: bool,
    smoothing: float,
    size: tuple[int, int],
) -> None:
    chart = SizedChart("loss")
    chart.drawn = Size(*size)
    chart.show([Curve("a", points), Curve("b", points, 3)], window[1], "", x_min=window[0])
    chart.log_scale, chart.smoothing, chart.cursor = log, smoothing, cursor
    chart._draw(replot=True)
    assert [(len(text), len(paints)) for text, paints in chart._rows] == [(size[0], size[0])] * size[1]
    assert chart.reading() == "" or cursor is not None


def test_an_axis_ends_at_what_no_value_exceeds() -> None:
    for values in ([0.2, 0.9, 1.0], [1.0, 1.0], [0.5]):
        layer = Layer([(float(x), y) for x, y in enumerate(values)], 0, raw=False)
        drawn = plot([layer], Window(0.0, 4.0), columns=20, rows=4, ascii_only=False, most=1.0)
        assert drawn.y_range is not None
        assert drawn.y_range.low < drawn.y_range.high <= 1.0
