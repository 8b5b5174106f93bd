"""The wizard with real keys, from the first screen to a real training."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from kto_tui.data.report import Refused
from kto_tui.draft import Draft, starter_draft
from kto_tui.recipe import FIELDS
from kto_tui.runs.folder import find_run
from kto_tui.tui.app import KtoApp
from kto_tui.tui.opening import Opening, Wanted
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.hardware import HardwareScreen
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.results import ResultsScreen
from kto_tui.tui.screens.review import ReviewScreen
from kto_tui.tui.screens.runs import RunsScreen
from kto_tui.tui.screens.small import TooSmallScreen
from tests.tiny import make_rows, write_jsonl
from tests.tui.machines import LAPTOP, RTX_3070

ROOT = Path(__file__).parents[2]
SIZES = [(80, 24), (140, 45)]


async def until(pilot: Pilot[int], true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let the app work until something is so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await pilot.pause(0.05)
        if true():
            return
    pytest.fail(f"waited in vain on {pilot.app.screen}")


def at(app: KtoApp, screen: type) -> Callable[[], bool]:
    return lambda: isinstance(app.screen, screen) and app.screen.is_mounted


def text(app: KtoApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


async def type_text(pilot: Pilot[int], words: str) -> None:
    pilot.app.screen.query_one(Input).value = ""
    await pilot.press(
        *[{" ": "space", "/": "slash", ".": "full_stop", "-": "minus", "_": "underscore"}.get(c, c) for c in words]
    )


@pytest.mark.parametrize("size", SIZES)
async def test_enter_five_times_reaches_training_with_defaults(size: tuple[int, int]) -> None:
    """Four Enters to Review; the fifth would train. The primary action is always in the last line."""
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.screen.query("#facts") and "CPU" in text(app, "#facts"))
        for screen in (ModelScreen, DataScreen, RecipeScreen, ReviewScreen):
            assert "enter" in text(app, "#keys")
            assert app.screen.query_one("#keys").region.bottom == size[1]
            await pilot.press("enter")
            await until(pilot, at(app, screen))
            await pilot.pause()
        assert "SmolLM2-135M" in text(app, "#sentence")
        assert "40 steps" in text(app, "#sentence")
        assert "seed = 42" in text(app, "#toml")
        assert "enter Train" in text(app, "#keys")


async def test_every_step_keeps_the_draft_when_entered_again() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(RecipeScreen(starter_draft(LAPTOP)))
        await until(pilot, at(app, RecipeScreen))
        form = app.screen.query_one(OptionList)
        form.highlighted = [option.id for option in form.options].index("beta")
        await pilot.press("e")
        await type_text(pilot, "0.3")
        await pilot.press("enter")
        await pilot.pause()
        assert "set by you" in str(form.get_option("beta").prompt)
        for key, screen in (
            ("escape", DataScreen),
            ("escape", ModelScreen),
            ("escape", HardwareScreen),
            ("enter", ModelScreen),
            ("enter", DataScreen),
            ("enter", RecipeScreen),
            ("enter", ReviewScreen),
        ):
            await pilot.press(key)
            await until(pilot, at(app, screen))
        assert "beta = 0.3" in text(app, "#toml")


async def test_recipe_refuses_a_bad_value_with_a_sentence_and_keeps_the_old_one() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(RecipeScreen(starter_draft(LAPTOP)))
        form = app.screen.query_one(OptionList)
        form.highlighted = [option.id for option in form.options].index("learning_rate")
        await pilot.press("e")
        await type_text(pilot, "fast")
        await pilot.press("enter")
        await pilot.pause()
        problem = app.screen.query_one("#problem", Static)
        assert problem.display
        assert "Learning rate" in text(app, "#problem")
        assert "number" in text(app, "#problem")
        await pilot.press("escape")
        await pilot.pause()
        assert "3e-4" in str(form.get_option("learning_rate").prompt)
        assert not problem.display


async def test_recipe_shows_every_field_and_a_because_for_each() -> None:
    app = KtoApp()
    async with app.run_test(size=(140, 45)) as pilot:
        await app.switch_screen(RecipeScreen(starter_draft(LAPTOP)))
        form = app.screen.query_one(OptionList)
        common = form.option_count
        await pilot.press("m")
        await pilot.pause()
        assert form.option_count == len(FIELDS) > common
        for field in FIELDS:
            line = str(form.get_option(field.name).prompt)
            assert field.label in line
            assert len(line) > len(f"  {field.label:18}{'':16}   "), f"{field.name} has no because"


async def test_named_recipes_change_the_form() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(RecipeScreen(starter_draft(LAPTOP)))
        seen = set()
        for _ in range(7):
            await pilot.press("r")
            await pilot.pause()
            seen.add(text(app, "#rail").split("Review")[1].split("·")[0].strip(" ]"))
        assert {"Usual", "Careful", "Bold", "3B on 8 GB", "7B on 8 GB", "Starter"} <= seen


async def test_an_unknown_model_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ModelScreen(Draft(hardware=LAPTOP)))
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one(Input).value = str(tmp_path / "nowhere")
        await pilot.press("enter")
        await pilot.pause()
        assert "nowhere" in text(app, "#problem")


async def test_a_bad_data_file_is_refused_and_the_data_before_stay(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("\n")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await pilot.press("o")
        await pilot.pause()
        app.screen.query_one(Input).value = str(bad)
        await pilot.press("enter")
        await until(
            pilot, lambda: bool(app.screen.query("#problem")) and "bad.jsonl" in text(app, "#problem").replace("\n", "")
        )
        assert "Starter set" in text(app, "#numbers")


async def test_a_huge_row_does_not_freeze_and_a_held_out_file_is_frozen_by_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(40)
    rows[0]["completion"] = [{"role": "assistant", "content": "word " * 2_000_000}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    write_jsonl(tmp_path / "held.jsonl", make_rows(20, seed=1))
    monkeypatch.chdir(tmp_path)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        for key, name, seen in (("o", "rows.jsonl", "held out: 16 split off"), ("h", "held.jsonl", "20 of its own")):
            await pilot.press(key)
            await until(pilot, at(app, AskDialog))
            app.screen.query_one(Input).value = name
            await pilot.press("enter")
            await until(pilot, lambda seen=seen: at(app, DataScreen)() and seen in text(app, "#numbers"), 30)
        assert "characters]" in text(app, "#rows")
        await pilot.press("enter")
        await until(pilot, at(app, RecipeScreen))
        await pilot.press("enter")
        await until(pilot, at(app, ReviewScreen))
        assert str(tmp_path / "held.jsonl") in text(app, "#toml")


async def test_what_arrives_after_a_screen_was_left_is_let_go() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        hardware, data = HardwareScreen(starter_draft(LAPTOP)), DataScreen(starter_draft(LAPTOP))
        for screen in (hardware, data, ReviewScreen(starter_draft(LAPTOP))):
            await app.switch_screen(screen)
        await pilot.pause()
        hardware.show_hardware(LAPTOP)
        data._opening = opening = Opening(Wanted("late.jsonl"), starter_draft(LAPTOP))
        data.on_file_screen_told(DataScreen.Told(opening, Refused(what="Too late", mend="Wait", where=None)))
        assert at(app, ReviewScreen)()


async def test_help_lists_the_keys_of_the_screen() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ReviewScreen(starter_draft(LAPTOP)))
        await pilot.press("question_mark")
        await pilot.pause()
        shown = " ".join(str(static.render()) for static in app.screen.query(Static))
        assert "Start training" in shown
        await pilot.press("escape")
        await until(pilot, at(app, ReviewScreen))


async def test_a_small_terminal_gets_a_sentence_and_recovers() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, at(app, HardwareScreen))
        await pilot.resize_terminal(60, 18)
        await until(pilot, at(app, TooSmallScreen))
        await pilot.resize_terminal(80, 24)
        await until(pilot, at(app, HardwareScreen))


async def test_ascii_mode_draws_seven_bit_characters_only() -> None:
    app = KtoApp(plain=True)
    async with app.run_test(size=(80, 24)) as pilot:
        for screen in (
            HardwareScreen(Draft(hardware=RTX_3070)),
            ModelScreen(Draft(hardware=RTX_3070)),
            DataScreen(starter_draft(LAPTOP)),
            RecipeScreen(starter_draft(LAPTOP)),
            ReviewScreen(starter_draft(LAPTOP)),
        ):
            await app.switch_screen(screen)
            await pilot.pause()
            lines = [strip.text for strip in app.screen._compositor.render_strips()]
            assert len(lines) == 24
            assert all(line.isascii() for line in lines), [line for line in lines if not line.isascii()]


async def test_no_color_draws_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ReviewScreen(starter_draft(LAPTOP)))
        await pilot.pause()
        colours = {
            segment.style.color.get_truecolor()
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if segment.style and segment.style.color and not segment.style.color.is_default
        }
        assert all(red == green == blue for red, green, blue in colours)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    subprocess.run([sys.executable, "-m", "tests.tiny", str(folder)], check=True, capture_output=True, cwd=ROOT)
    return folder


async def choose_model_and_data(pilot: Pilot[int], model: Path, rows: Path) -> None:
    """Folder and file typed in, Enter to the recipe."""
    app = pilot.app
    assert isinstance(app, KtoApp)
    await until(pilot, lambda: bool(app.screen.query("#facts")) and "CPU" in text(app, "#facts"))
    await pilot.press("enter")
    await until(pilot, at(app, ModelScreen))
    await pilot.press("e")
    await pilot.pause()
    app.screen.query_one(Input).value = str(model)
    await pilot.press("enter")
    await pilot.pause()
    await pilot.press("enter")
    await until(pilot, at(app, DataScreen))
    await pilot.press("o")
    await pilot.pause()
    app.screen.query_one(Input).value = str(rows)
    await pilot.press("enter")
    await until(pilot, lambda: at(app, DataScreen)() and "rows.jsonl · 80" in text(app, "#rail"))
    await pilot.press("enter")
    await until(pilot, at(app, RecipeScreen))


async def test_whole_wizard_trains_a_real_model_and_shows_it(model: Path, tmp_path: Path) -> None:
    """A real training followed live, stopped with two keys, and attached to again."""
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(80))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await choose_model_and_data(pilot, model, rows)
        form = app.screen.query_one(OptionList)
        form.highlighted = [option.id for option in form.options].index("steps")
        await pilot.press("e")
        await type_text(pilot, "4000")
        await pilot.press("enter")
        await pilot.press("enter")
        await until(pilot, at(app, ReviewScreen))
        await pilot.press("enter")
        await until(pilot, at(app, LiveScreen))
        await until(pilot, lambda: "step" in text(app, "#progress") and "tok/s" in text(app, "#progress"))
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, at(app, ResultsScreen))
    run = find_run("last")
    state = run.read_state()
    assert state.ended is not None
    assert state.ended.reason == "stopped"
    assert (run.adapter / "adapter_model.safetensors").exists()

    again = KtoApp(run=run)
    async with again.run_test(size=(140, 45)) as pilot:
        await until(pilot, at(again, LiveScreen))
        screen = again.screen
        assert isinstance(screen, LiveScreen)
        assert screen.state.last_step == state.last_step, "the second screen has the whole history"
        await pilot.press("l")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.press("r")
        await until(pilot, at(again, RunsScreen))
        await until(pilot, lambda: again.screen.query_one(DataTable).row_count == 1)
        await asyncio.sleep(0)
