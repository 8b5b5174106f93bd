"""The Data screen gets a data set by its hub id: it is downloaded, and asked which part of it is meant."""

import json

import pytest
from textual.widgets import Input, OptionList

from kto_tui.draft import starter_draft
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.dialogs import AskDialog, ChooseDialog
from kto_tui.tui.screens.recipe import RecipeScreen
from tests.hub.standin import Hub, Repo
from tests.tiny import make_rows
from tests.tui.machines import LAPTOP
from tests.tui.test_wizard import at, text, until

README = b"""---
configs:
- config_name: de
  data_files:
  - {split: train, path: de/*}
- config_name: en
  data_files:
  - {split: train, path: en/*}
---
"""


def jsonl(count: int, seed: int) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in make_rows(count, seed=seed)).encode()


@pytest.fixture
def thumbs(hub: Hub) -> Repo:
    hub.datasets["acme/thumbs"] = Repo(
        {"README.md": README, "de/train.jsonl": jsonl(20, 1), "en/train.jsonl": jsonl(40, 2)}
    )
    return hub.datasets["acme/thumbs"]


async def test_a_data_set_of_the_hub_is_downloaded_once_and_read(thumbs: Repo) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        for asked in (True, False):
            await pilot.press("o")
            await until(pilot, at(app, AskDialog))
            app.screen.query_one(Input).value = "acme/thumbs" if asked else "acme/thumbs#en/"
            await pilot.press("enter")
            if asked:
                await until(pilot, at(app, ChooseDialog))
                assert app.screen.query_one(OptionList).option_count == 2
                await pilot.press("down", "enter")
            await until(pilot, lambda: at(app, DataScreen)() and "thumbs#en · 40" in text(app, "#rail"))
        await pilot.press("enter")
        await until(pilot, at(app, RecipeScreen))


async def test_a_data_set_that_cannot_be_had_leaves_the_data_as_they_were(hub: Hub) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await until(pilot, lambda: "starter set" in text(app, "#rail"))
        await pilot.press("o")
        await until(pilot, at(app, AskDialog))
        app.screen.query_one(Input).value = "acme/nowhere"
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.screen.query("#progress")) and "no such data set" in text(app, "#progress"))
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
        assert "no such data set" in " ".join(text(app, "#problem").split())
        assert "Starter set" in text(app, "#numbers")
