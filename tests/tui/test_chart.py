"""The chart in a running app: what it shows and what it repaints."""

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from kto_tui.tui.widgets.chart import Chart, _label

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
        app.chart.show(POINTS, X_MAX, "0.801")
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
        app.chart.show(POINTS, X_MAX, "0.801")
        await pilot.pause()
        refreshed.clear()

        app.chart.show(list(POINTS), X_MAX, "0.801")
        assert refreshed == []

        app.chart.show([*POINTS, (210, 0.8)], X_MAX, "0.801")
        assert None not in refreshed
        assert 1 <= len(refreshed) <= 2
        assert all(region.width <= 3 and 0 <= region.y < CONTENT_HEIGHT for region in refreshed)

        refreshed.clear()
        app.chart.show([*POINTS, (210, 0.8)], X_MAX, "0.800")
        assert refreshed == [Region(-1, -1, 80, 1)]

        refreshed.clear()
        app.chart.show([*POINTS, (210, 0.8)], X_MAX + 0.0001, "0.800")
        assert refreshed == [Region(-1, CONTENT_HEIGHT, 80, 1)]
        await pilot.pause()


async def test_partial_repaint_equals_full_repaint() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for count in (1, 2, 50, 51, 199, 200):
            app.chart.show(POINTS[:count], X_MAX, f"{count}")
            await pilot.pause()
            partial = screen(app)
            app.chart.refresh()
            await pilot.pause()
            assert screen(app) == partial
            assert f"loss [a]  {count} " in partial[0]
        app.chart.show([], X_MAX, "")
        await pilot.pause()
        assert [row.strip() for row in content(app.chart) if row.strip()] == ["no data yet"]


@pytest.mark.parametrize("size", [(60, 10), (120, 40), (12, 4), (9, 3), (4, 2), (1, 1)])
async def test_resize_draws_again(size: tuple[int, int]) -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show(POINTS, X_MAX, "0.801")
        await pilot.pause()
        await pilot.resize_terminal(*size)
        await pilot.pause()
        rows = content(app.chart)
        assert (len(rows), {len(row) for row in rows}) == (
            max(size[1] - 2, 0),
            {max(size[0] - 2, 0)} if size[1] > 2 else set(),
        )
        app.chart.show(POINTS[:100], X_MAX, "0.9")
        await pilot.pause()


async def test_data_shown_before_mounting_appear() -> None:
    app = ChartApp()
    app.chart.show(POINTS, X_MAX, "0.801")
    async with app.run_test(size=(80, 24)):
        rows = screen(app)
        assert "loss [a]  0.801" in rows[0]
        assert "1.05" in rows[1]


async def test_ascii_only_draws_in_seven_bits() -> None:
    app = ChartApp(ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.chart.show(POINTS, X_MAX, "0.801")
        await pilot.pause()
        text = "".join(screen(app))
        assert text.isascii()
        assert ":" in "".join(content(app.chart)) or "'" in "".join(content(app.chart))


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.0, "     0 "),
        (1.25, "  1.25 "),
        (-127.5, "-127.5 "),
        (2.5e-5, "2.5e-5 "),
        (-2.5e-5, "-2.5e-5"),
        (0.30000000000000004, "   0.3 "),
        (-1.5e300, "-2e300 "),
        (1234567.0, "1.235e6"),
    ],
)
def test_labels_fit_the_gutter(value: float, label: str) -> None:
    assert _label(value) == label
    assert len(label) == 7
