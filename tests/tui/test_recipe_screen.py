"""The Recipe screen: what a setting costs is seen while it is typed, and said when it no longer fits."""

import msgspec
import pytest
from textual.widgets import Input, OptionList

from kto_tui.catalog import find
from kto_tui.draft import Draft, choose_data, choose_model
from kto_tui.hardware.presets import load_hardware
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.widgets.parts_bar import END
from tests.tui.test_another_machine import shown
from tests.tui.test_wizard import SIZES, text, type_text

MODEL = "Qwen/Qwen2.5-1.5B-Instruct"


def draft_for(machine: str, **overrides: object) -> Draft:
    model = find(MODEL)
    assert model is not None
    draft = choose_data(choose_model(Draft(hardware=load_hardware(machine)), model), "starter")
    return msgspec.structs.replace(draft, overrides=overrides)


def highlight(app: KtoApp, name: str) -> None:
    form = app.screen.query_one(OptionList)
    form.highlighted = [option.id for option in form.options].index(name)


@pytest.mark.parametrize("size", SIZES)
async def test_the_bar_moves_while_a_value_is_typed_and_moves_back_when_it_is_not_kept(size: tuple[int, int]) -> None:
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await app.switch_screen(RecipeScreen(draft_for("rtx-3070-8gb")))
        await pilot.pause()
        before, heading = text(app, "#parts"), text(app, "#rail")
        assert before.splitlines()[0].count(END) == 1
        assert "FITS" in before
        highlight(app, "max_length")
        await pilot.press("e")
        await type_text(pilot, "99000")
        await pilot.pause()
        tight = " ".join(text(app, "#parts").split())
        assert " NO  needs about" in text(app, "#parts").replace("\n", " "), "said at once, before Enter"
        assert "would have to be free" in tight or "It would fit with" in tight
        assert text(app, "#rail").rstrip().endswith("NO")
        assert any("99000 tokens" in line for line in shown(app)), "the form shows it, and the field is in view"
        await type_text(pilot, "990000000000")
        await pilot.pause()
        assert text(app, "#parts") == before, "what is no value changes nothing"
        await pilot.press("escape")
        await pilot.pause()
        assert (text(app, "#parts"), text(app, "#rail")) == (before, heading)
        assert not app.screen.query_one("#editor").display


async def test_an_edit_that_is_kept_stays_in_bar_and_verdict() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(RecipeScreen(draft_for("rtx-3070-8gb")))
        await pilot.pause()
        before = text(app, "#parts")
        highlight(app, "max_length")
        await pilot.press("e")
        await type_text(pilot, "99000")
        await pilot.press("enter")
        await pilot.pause()
        assert "NO  needs about" in text(app, "#parts")
        assert "set by you" in str(app.screen.query_one(OptionList).get_option("max_length").prompt)
        await pilot.press("a")
        await pilot.pause()
        assert text(app, "#parts") == before
        highlight(app, "lora_targets")
        await pilot.press("right")
        await pilot.pause()
        assert text(app, "#parts") != before, "choices count at once too"


async def test_values_that_went_with_other_data_are_given_up_with_a_sentence() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(RecipeScreen(draft_for("rtx-3070-8gb", micro_batch=512)))
        await pilot.pause()
        assert "automatic again" in " ".join(text(app, "#problem").split())
        assert "set by you" not in str(app.screen.query_one(OptionList).get_option("micro_batch").prompt)
        assert not app.screen.query_one("#editor", Input).display
