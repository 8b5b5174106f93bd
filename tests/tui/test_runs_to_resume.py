"""The first screen tells of runs that ended without a word."""

import time

from textual.widgets import Static

from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import Ended, WorkerStarted
from kto_tui.runs.folder import create_run
from kto_tui.tui.app import KtoApp


async def test_a_run_that_died_is_offered_and_one_that_finished_is_not() -> None:
    died, finished = (create_run(RunConfig(model="m", data="starter", recipe=Recipe())) for _ in range(2))
    for run in (died, finished):
        writer = EventWriter(run.events)
        writer.write(WorkerStarted(host="h", pid=1))
        if run is finished:
            writer.write(Ended(reason="finished"))
        writer.close()
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        deadline, facts = time.monotonic() + 30, ""
        while "CPU" not in facts and time.monotonic() < deadline:
            await pilot.pause(0.05)
            facts = str(app.screen.query_one("#facts", Static).render())
    assert f"{died.id} ended without a word" in facts
    assert f"kto-tui resume {died.id}" in facts
    assert finished.id not in facts
