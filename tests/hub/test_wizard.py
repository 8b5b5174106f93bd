"""The wizard gets a model by its hub id: Enter downloads, Escape asks, a gated one says how to log in."""

from collections.abc import Callable

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from kto_tui.catalog import find, resolve
from kto_tui.draft import choose_model, starter_draft
from kto_tui.errors import UserError
from kto_tui.hub.cache import cached
from kto_tui.runs.config import RunConfig
from kto_tui.runs.folder import RunFolder
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens import review
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.dialogs import ConfirmDialog
from kto_tui.tui.screens.download import DownloadDialog, LoginDialog
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.review import ReviewScreen
from tests.hub.standin import TOKEN, Hub, Repo
from tests.tui.machines import LAPTOP
from tests.tui.test_wizard import at, text, until

GATED = "meta-llama/Llama-3.2-1B-Instruct"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Runs that the wizard would have started."""
    configs: list[RunConfig] = []

    def take(config: RunConfig) -> RunFolder:
        configs.append(config)
        raise UserError("Enough", mend="Go home")

    monkeypatch.setattr(review, "start", take)
    return configs


def at_review(model_id: str) -> ReviewScreen:
    return ReviewScreen(choose_model(starter_draft(LAPTOP), resolve(model_id)))


def all_text(app: KtoApp) -> str:
    return "\n".join(str(static.render()) for static in app.screen.query(Static))


def shows(app: KtoApp, words: str) -> Callable[[], bool]:
    return lambda: words in all_text(app)


async def open_at(pilot: Pilot[int], screen: ReviewScreen | ModelScreen) -> None:
    await pilot.app.switch_screen(screen)
    await pilot.pause()


async def test_a_model_by_its_id_is_downloaded_and_then_trained(hub: Hub, big: Repo, started: list[RunConfig]) -> None:
    hub.delay = 0.02
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, ModelScreen(msgspec.structs.replace(starter_draft(LAPTOP), model=None)))
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one(Input).value = "acme/big"
        await pilot.press("enter")
        await pilot.pause()
        for screen in (DataScreen, RecipeScreen, ReviewScreen):
            await pilot.press("enter")
            await until(pilot, at(app, screen))
            if screen is DataScreen:
                await until(pilot, lambda: "Balance" in text(app, "#numbers"))
        assert "downloaded first" in " ".join(text(app, "#sentence").split())
        await pilot.press("enter")
        await until(pilot, at(app, DownloadDialog))
        await until(pilot, shows(app, "MiB of 4 MiB"))
        assert "[###" in all_text(app)
        assert "esc Cancel" in all_text(app)
        assert "/s · " in all_text(app)
        await until(pilot, at(app, ReviewScreen))
        # Its config.json says nothing: now that it is here the wizard knows, and no worker is started in vain.
        assert "names no model_type" in text(app, "#problem")
        assert not started
    assert cached("acme/big").complete  # type: ignore[union-attr] # it was just downloaded


async def test_a_real_checkpoint_goes_straight_on_to_the_run(hub: Hub, big: Repo, started: list[RunConfig]) -> None:
    big.files["config.json"] = b'{"model_type": "llama"}'
    big.files["model.safetensors"] = b"\2\0\0\0\0\0\0\0{}"
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, at_review("acme/big"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(started))
        assert started[0].model == "acme/big"
        await until(pilot, lambda: "Enough" in text(app, "#problem"))
        assert "downloaded first" not in text(app, "#sentence")


async def test_what_the_backend_refuses_is_told_before_its_weights_come(
    hub: Hub, big: Repo, started: list[RunConfig]
) -> None:
    big.files["config.json"] = b'{"model_type": "bloom"}'
    draft = msgspec.structs.replace(starter_draft(LAPTOP), asked_backend="mlx")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, ReviewScreen(choose_model(draft, resolve("acme/big"))))
        await pilot.press("enter")
        await until(pilot, shows(app, "mlx-lm has no architecture bloom"))
        await pilot.press("escape")
        await until(pilot, at(app, ReviewScreen))
        # From now on it is known without asking the hub.
        known = msgspec.structs.replace(resolve("acme/big"), model_type="bloom")
        await open_at(pilot, ReviewScreen(choose_model(draft, known)))
        assert "NO: mlx-lm has no architecture bloom" in " ".join(text(app, "#sentence").split())
        await pilot.press("enter")
        await until(pilot, lambda: "no architecture bloom" in text(app, "#problem"))
    assert not any("safetensors" in name for name in hub.served)
    assert not started


async def test_escape_asks_once_and_what_has_arrived_is_kept(hub: Hub, big: Repo, started: list[RunConfig]) -> None:
    hub.delay = 0.1
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, at_review("acme/big"))
        await pilot.press("enter")
        await until(pilot, shows(app, "/s · "))
        await pilot.press("escape")
        await until(pilot, at(app, ConfirmDialog))
        await pilot.press("escape")
        await until(pilot, at(app, DownloadDialog))
        await pilot.press("escape")
        await until(pilot, at(app, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, at(app, ReviewScreen))
        assert "what has arrived is kept" in " ".join(text(app, "#problem").split())
        assert not started
        assert cached("acme/big").unfinished_bytes > 0  # type: ignore[union-attr] # it was interrupted


async def test_a_download_that_ends_under_the_question_closes_with_it(
    hub: Hub, big: Repo, started: list[RunConfig]
) -> None:
    hub.delay = 0.02
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, at_review("acme/big"))
        await pilot.press("enter")
        await until(pilot, shows(app, "/s · "))
        await pilot.press("escape")
        await until(pilot, at(app, ConfirmDialog))
        await until(pilot, lambda: (found := cached("acme/big")) is not None and found.complete)
        await pilot.pause(0.5)
        await pilot.press("escape")
        await until(pilot, at(app, ReviewScreen))


async def test_leaving_ends_the_download(hub: Hub, big: Repo) -> None:
    hub.delay = 0.2
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, at_review("acme/big"))
        await pilot.press("enter")
        await until(pilot, shows(app, "MiB"))
        screen = app.screen
    assert isinstance(screen, DownloadDialog)
    assert screen._download is not None
    assert screen._download._process.wait(timeout=5) == 130


async def test_a_renamed_model_is_taken_by_its_new_name(hub: Hub, big: Repo, started: list[RunConfig]) -> None:
    hub.repos["acme/old"] = Repo({}, renamed_to="acme/big")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, at_review("acme/old"))
        await pilot.press("enter")
        await until(pilot, shows(app, "called acme/big now"))
        await pilot.press("enter")
        await until(pilot, at(app, ReviewScreen))
        assert 'model = "acme/big"' in text(app, "#toml")


async def test_a_gated_model_says_how_to_log_in_when_it_is_chosen_and_at_review(
    hub: Hub, big: Repo, started: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[GATED] = Repo(big.files, gated=True)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, ModelScreen(choose_model(starter_draft(LAPTOP), find(GATED) or resolve(GATED))))
        table = app.screen.query_one(DataTable)
        table.move_cursor(row=table.get_row_index(GATED))
        await pilot.press("enter")
        await until(pilot, at(app, LoginDialog))
        for words in (f"{hub.endpoint}/{GATED}", f"{hub.endpoint}/settings/tokens", "hf auth login", "press r"):
            assert words in all_text(app)
        await pilot.press("r")
        await until(pilot, shows(app, "No token is here yet"))
        await pilot.press("escape")
        await until(pilot, at(app, ModelScreen))
        await pilot.press("enter")
        await until(pilot, at(app, LoginDialog))
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))

        await open_at(pilot, at_review(GATED))
        await pilot.press("enter")
        await until(pilot, shows(app, "nobody is logged in"))
        assert f"{hub.endpoint}/{GATED}" in all_text(app)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        await pilot.press("r")
        await until(pilot, lambda: bool(started))
        assert started[0].model == GATED
    assert not hub.leaked


async def test_a_known_token_or_an_open_model_is_not_asked_about(
    hub: Hub, big: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, ModelScreen(choose_model(starter_draft(LAPTOP), find(GATED) or resolve(GATED))))
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))
