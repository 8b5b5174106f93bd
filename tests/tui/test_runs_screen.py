"""The list of runs and the comparison, with real keys on real run folders."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from kto_tui.paths import runs_home
from kto_tui.runs.about import read_about
from kto_tui.runs.compare import METRICS
from kto_tui.runs.events import Ended, Resumed, WorkerStarted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import own_identity, write_identity
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.compare import CompareScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.screens.runs import RunsScreen
from kto_tui.tui.widgets.chart import Chart
from tests.runs.made import RECORDED, made_run, step, write


async def until(pilot: Pilot[int], true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited in vain on {pilot.app.screen}"
        await pilot.pause(0.02)


def text(app: KtoApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def rows(app: KtoApp) -> list[list[str]]:
    table = app.screen.query_one(DataTable)
    return [[str(cell).strip() for cell in table.get_row(row.key)] for row in table.ordered_rows]


async def opened(pilot: Pilot[int], count: int, *, read_only: bool = False) -> KtoApp:
    app = pilot.app
    assert isinstance(app, KtoApp)
    await app.push_screen(RunsScreen(read_only=read_only))
    await until(pilot, lambda: len(rows(app)) == count)
    return app


def three() -> None:
    began = WorkerStarted(host="h", pid=1, t=1000.0)
    steps = [step(number, 0.5 - number / 50, margin=number / 10) for number in range(1, 9)]
    made_run("bold-fox", [began, *steps, Ended(reason="finished", message="All is done.")])
    made_run("calm-owl", [began, *steps[:3], Ended(reason="paused")], age=60)
    made_run("wise-cat", [began], age=120)


async def answer(pilot: Pilot[int], words: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, AskDialog))
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
async def test_the_list_fits_and_says_what_matters(size: tuple[int, int]) -> None:
    three()
    async with KtoApp().run_test(size=size) as pilot:
        app = await opened(pilot, 3)
        lines = rows(app)
        assert [line[1] for line in lines] == ["bold-fox", "calm-owl", "wise-cat"]
        assert [line[2] for line in lines] == ["finished", "paused", "died"]
        assert lines[0][3:5] == ["8/10", "0.340"]
        assert "▁" in lines[0][7]
        assert "█" in lines[0][7]
        assert "All is done." in text(app, "#detail")
        table = app.screen.query_one(DataTable)
        assert table.virtual_size.width <= table.size.width, "no column is out of sight"
        assert "enter Attach" in text(app, "#keys")
        assert len(text(app, "#keys")) <= size[0] - 2


async def test_no_runs_is_said() -> None:
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 0)
        await until(pilot, lambda: "No runs yet" in text(app, "#problem"))
        three()
        app.screen.query_one(DataTable).app.screen.refresh_runs()  # type: ignore[attr-defined]
        await until(pilot, lambda: len(rows(app)) == 3)
        assert text(app, "#problem") == ""


async def test_enter_opens_the_run() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        assert screen.run.id == "calm-owl"


async def test_words_narrow_the_list_and_escape_widens_it() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("slash", *"paus")
        await until(pilot, lambda: [line[1] for line in rows(app)] == ["calm-owl"])
        assert text(app, "#count") == "1 of 3 runs"
        await pilot.press(*"x")
        await until(pilot, lambda: "No run matches" in text(app, "#problem"))
        await pilot.press("escape")
        await until(pilot, lambda: len(rows(app)) == 3)
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, RunsScreen))


async def test_title_tags_and_note() -> None:
    three()
    async with KtoApp().run_test(size=(140, 45)) as pilot:
        app = await opened(pilot, 3)
        run = RunFolder(runs_home() / "calm-owl")
        await pilot.press("down")
        for key, words in (("n", "Polite"), ("t", "lr, low"), ("o", "first try")):
            await pilot.press(key)
            await answer(pilot, words)
            await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_mounted)
        about = read_about(run.about)
        assert (about.title, about.tags, about.note) == ("Polite", ("lr", "low"), "first try")
        await until(pilot, lambda: rows(app)[1][-1] == "Polite #lr #low")
        assert "first try" in text(app, "#detail")
        await pilot.press("n")
        await answer(pilot, "bold-fox")
        await until(pilot, lambda: "already called" in text(app, "#problem"))
        await pilot.press("t")
        await answer(pilot, "")
        await until(pilot, lambda: read_about(run.about).tags == ())
        assert read_about(run.about).title == "Polite"


async def test_deleting_takes_the_word() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        for words, kept in (("yes", True), ("", True), ("delete", False)):
            await pilot.press("d")
            await answer(pilot, words) if words else await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_mounted)
            assert (runs_home() / "bold-fox").exists() is kept
        await until(pilot, lambda: [line[1] for line in rows(app)] == ["calm-owl", "wise-cat"])


async def test_a_run_that_lives_is_not_deleted() -> None:
    three()
    run = RunFolder(runs_home() / "bold-fox")
    write_identity(run.identity, own_identity())
    run.events.write_bytes(b"")  # it has not said its last word
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("d")
        await answer(pilot, "delete")
        await until(pilot, lambda: "is not over" in text(app, "#problem"))
        assert (runs_home() / "bold-fox" / "events.jsonl").exists()


async def test_a_finished_run_cannot_go_on() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("u")
        await until(pilot, lambda: "nothing to go on with" in text(app, "#problem"))


async def test_export_and_report_say_where_they_are() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        await opened(pilot, 3)
        await pilot.press("x", "p")
        run = runs_home() / "bold-fox"
        names = ("steps.csv", "curves.svg", "report.md", "report.svg")
        await until(pilot, lambda: all((run / name).exists() for name in names))
        assert (run / "steps.csv").read_text().count("\n") == 9
        await until(pilot, lambda: len(pilot.app._notifications) == 2)
        told = " ".join(note.message for note in pilot.app._notifications)
        assert "report.md" in told
        assert "steps.csv" in told


async def test_read_only_changes_nothing() -> None:
    three()
    before = {path: path.read_bytes() for path in runs_home().rglob("*") if path.is_file()}
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3, read_only=True)
        for key in "ntoxpdu":
            await pilot.press(key)
            await until(pilot, lambda: "read-only" in text(app, "#problem"))
            assert isinstance(app.screen, RunsScreen)
    assert before == {path: path.read_bytes() for path in runs_home().rglob("*") if path.is_file()}


async def test_the_cursor_stays_on_its_run_when_others_come() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("down", "down")
        made_run("new-lark", [step(1)], age=-60)
        write(RunFolder(runs_home() / "wise-cat"), [step(4, 0.125)])
        app.screen.refresh_runs()  # type: ignore[attr-defined]
        await until(pilot, lambda: len(rows(app)) == 4)
        assert rows(app)[3][4] == "0.125"
        assert rows(app)[app.screen.query_one(DataTable).cursor_row][1] == "wise-cat"


# Comparison


async def compared(pilot: Pilot[int], count: int) -> KtoApp:
    for name in ("warm-dove", "quick-heron", "bold-lynx"):
        shutil.copytree(RECORDED / name, runs_home() / name)
    app = await opened(pilot, 3)
    await pilot.press(*["space"] * count, "c")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen._told is not None)
    await pilot.pause()
    return app


def overlay(app: KtoApp) -> Chart:
    return app.screen.query_one(Chart)


async def test_one_run_is_nothing_to_compare() -> None:
    three()
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("space", "c")
        assert "Choose 2 to 6 runs with space first; 1 chosen." in text(app, "#problem")
        await pilot.press("up", "space")
        assert "chosen" not in text(app, "#count")


async def test_no_more_than_six() -> None:
    for number in range(7):
        made_run(f"run-{number}", age=number)
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 7)
        await pilot.press(*["space"] * 7)
        assert "6 chosen" in text(app, "#count")
        assert "the most that can be told apart" in text(app, "#problem")
        assert [line[0] for line in rows(app)] == ["1", "2", "3", "4", "5", "6", ""]


async def test_three_real_runs_side_by_side() -> None:
    async with KtoApp().run_test(size=(100, 45)) as pilot:
        app = await compared(pilot, 3)
        svg = app.export_screenshot()
        for words in ("solid", "dashed", "dotted", "Learning", "Held-out", "Differs"):
            assert words in svg, words
        assert sorted(len(one.points) for one in overlay(app)._curves) == [19, 40, 40]
        assert [one.style for one in overlay(app)._curves] == [0, 1, 2]


async def test_keys_change_the_metric_the_axis_and_the_drawing() -> None:
    async with KtoApp().run_test(size=(100, 45)) as pilot:
        app = await compared(pilot, 2)
        titles = set()
        for _ in METRICS:
            titles.add(str(overlay(app)._border_title))
            await pilot.press("n")
        assert len(titles) == len(METRICS)
        assert "loss" in str(overlay(app)._border_title)
        steps = list(overlay(app)._curves[1].points)
        await pilot.press("a")
        assert [y for _, y in overlay(app)._curves[1].points] == [y for _, y in steps]
        assert overlay(app)._curves[1].points != steps
        await pilot.press("a")
        assert "tokens" in str(overlay(app)._border_title)
        await pilot.press("a", "m", "y")
        assert (overlay(app).smoothing, overlay(app).log_scale) == (0.6, True)
        await pilot.press("m", "m", "y", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_mounted)


async def test_a_run_that_goes_on_is_followed() -> None:
    three()
    write_identity(RunFolder(runs_home() / "wise-cat").identity, own_identity())
    async with KtoApp().run_test() as pilot:
        app = await opened(pilot, 3)
        await pilot.press("space", "down", "space", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen._told is not None)
        assert overlay(app)._curves[1].points == []
        write(RunFolder(runs_home() / "wise-cat"), [Resumed(step=0), step(1, 0.5), step(2, 0.25)])
        assert isinstance(app.screen, CompareScreen)
        app.screen.read_runs()
        await until(pilot, lambda: list(overlay(app)._curves[1].points) == [(1.0, 0.5), (2.0, 0.25)])


async def test_7_bit_terminals_get_7_bit_lines(tmp_path: Path) -> None:
    async with KtoApp(plain=True).run_test(size=(100, 45)) as pilot:
        app = await compared(pilot, 3)
        assert all(line.text.isascii() for line in app.screen._compositor.render_strips())


async def test_runs_that_were_read_after_the_screen_was_left_do_no_harm(home: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = RunsScreen()
        await app.push_screen(screen)
        await pilot.pause()
        await app.pop_screen()
        screen.show_runs([])
        assert not screen.query("#problem")
