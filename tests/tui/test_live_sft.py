"""The live screen of an SFT run: loss and held-out loss, and no pane, title or verdict of rewards."""

import pytest

from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.screens.results import ResultsScreen
from tests.runs.made import made_run
from tests.runs.sft_run import CONFIG, sft_events
from tests.tui.live_runs import charts, drawn, live, said
from tests.tui.live_runs import shown as read
from tests.tui.test_another_machine import shown
from tests.tui.test_wizard import SIZES, until

OF_REWARDS = {"rewards", "kl", "accuracy", "margin"}


@pytest.mark.parametrize("size", SIZES)
async def test_an_sft_run_shows_its_losses_and_nothing_that_it_has_not(size: tuple[int, int]) -> None:
    run = made_run("calm-owl", sft_events(ended=True), config=CONFIG)
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await app.push_screen(LiveScreen(run))
        await until(pilot, read(app))
        await pilot.pause()
        assert "name · SFT · MLX on gpu" in said(app, "title")
        first = charts(app)[0]
        assert first.id == "loss"
        assert "⠤" in drawn(first)
        assert any("held out 1.700" in line for line in shown(app))
        seen = {chart.id for chart in charts(app)}
        assert {"loss", "memory", "grad_norm", "learning_rate"} <= seen
        await pilot.press("n")
        await pilot.pause()
        assert not (seen | {chart.id for chart in charts(app)}) & OF_REWARDS
        assert "held-out loss 1.700 of 40 rows" in said(app, "progress")
        assert not any(word in "\n".join(shown(app)) for word in ("margin", "KL", "reward", "accuracy"))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen))
        assert any("before 2.600   after 1.700 of 40 rows" in line for line in shown(app))


async def test_an_sft_run_is_called_healthy_by_its_held_out_loss() -> None:
    run = made_run("calm-owl", sft_events(), config=CONFIG)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(LiveScreen(run))
        await until(pilot, read(app))
        assert live(app)._well == "Healthy: held-out loss 1.700 of 40 rows, from 2.600 at step 0"
