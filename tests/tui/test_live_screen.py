"""The live screen over the recorded events of a real training: what it shows, and what each key does."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from kto_tui.runs.config import load_config
from kto_tui.runs.control import ControlReader
from kto_tui.runs.events import (
    AllocatorRead,
    AnyEvent,
    CheckpointSaved,
    GaugesRead,
    Marked,
    MemoryRanOut,
    Queued,
    Resumed,
    StepCompleted,
    WorkerStarted,
)
from kto_tui.runs.verdicts import judge
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.dialogs import AskDialog, ConfirmDialog, HelpDialog
from kto_tui.tui.screens.lines import LinesScreen
from kto_tui.tui.screens.live import GOING, LiveScreen
from kto_tui.tui.screens.log import LogScreen
from kto_tui.tui.screens.results import ResultsScreen
from kto_tui.tui.screens.runs import RunsScreen
from kto_tui.tui.screens.samples import SamplesScreen
from kto_tui.tui.wizard import key_table
from tests.runs.recorded_runs import FOLDER as SICK
from tests.runs.recorded_runs import read_events
from tests.tui.live_runs import (
    append,
    charts,
    chosen,
    drawn,
    ended,
    live,
    make_run,
    recorded_events,
    said,
    shown,
    upto_step,
)

SIZES = [(80, 24), (140, 45)]


async def until(pilot: Pilot[int], true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await pilot.pause(0.02)
        if true():
            return
    pytest.fail(f"waited in vain on {pilot.app.screen}")


def steps_between(low: int, high: int) -> list[AnyEvent]:
    """The recorded steps beyond ``low`` to ``high``, with what came between."""
    return upto_step(high)[len(upto_step(low)) :]


def now(events: list[AnyEvent]) -> list[AnyEvent]:
    """The same events, the newest of them just written: a run that is alive has no old ones."""
    shift = time.time() - events[-1].t
    return [msgspec.structs.replace(event, t=event.t + shift) for event in events]


@pytest.mark.parametrize(("size", "panes"), [((80, 24), 4), ((140, 45), 6)])
async def test_a_running_run_is_shown_and_goes_on(home: Path, size: tuple[int, int], panes: int) -> None:
    events = now(upto_step(20))
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=size) as pilot:
        await until(pilot, shown(app))
        assert "RUNNING" in said(app, "title")
        assert "SmolLM2-135M-Instruct · KTO · TRL on cpu" in said(app, "title")
        assert "step 20/40" in said(app, "progress")
        assert "50%" in said(app, "progress")
        assert "left" in said(app, "progress")
        assert len(said(app, "progress")) <= size[0]
        assert [chart.id for chart in charts(app)][:4] == ["loss", "rewards", "kl", "memory"]
        assert len(charts(app)) == panes
        before = drawn(charts(app)[0])
        shift = events[-1].t - upto_step(20)[-1].t
        append(run, *[msgspec.structs.replace(one, t=one.t + shift) for one in steps_between(20, 30)])
        await until(pilot, lambda: "step 30/40" in said(app, "progress"))
        assert drawn(charts(app)[0]) != before
        keys = app.screen.query_one("#keys")
        assert keys.region.bottom == size[1]
        assert all(word in said(app, "keys") for word in ("Pause", "Stop", "Zoom", "q Detach", "? Help"))
        assert len(said(app, "keys")) <= size[0] - 2


async def test_the_history_of_an_old_run_is_read_to_its_end_in_many_batches(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kto_tui.tui.screens.live.BATCH_BYTES", 700)
    run = make_run(home, recorded_events(), alive=False)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        assert "finished at step 40 of 40, held-out accuracy 86% of 96 rows" in said(app, "progress")
        assert live(app).state == run.read_state()
        assert isinstance(app.screen, LiveScreen), "whoever opens an old run wants the run, not its results"


async def test_who_watches_to_the_end_sees_the_results(home: Path) -> None:
    events = now(recorded_events())
    run = make_run(home, events[:-5], alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        append(run, *events[-5:])
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen) and app.screen.is_mounted)


async def test_panes_are_chosen_paged_and_zoomed(home: Path) -> None:
    app = KtoApp(run=make_run(home, recorded_events(), alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        assert chosen(app).id == "loss"
        await pilot.press("tab")
        assert chosen(app).id == "rewards"
        await pilot.press("shift+tab", "shift+tab")
        assert chosen(app).id == "ram", "round the corner, on the last page"
        await pilot.press("n")
        assert [chart.id for chart in charts(app)] == ["loss", "rewards", "kl", "memory"]
        seen = [chart.id for chart in charts(app)]
        for _ in range(2):
            await pilot.press("n")
            await pilot.pause()
            seen += [chart.id for chart in charts(app)]
        assert seen[4:] == ["accuracy", "grad_norm", "margin", "learning_rate", "speed", "cpu", "ram"]
        await pilot.press("b", "z")
        await pilot.pause()
        assert [chart.id for chart in charts(app)] == ["accuracy"]
        assert charts(app)[0].outer_size.width == 80
        await pilot.press("n")
        await pilot.pause()
        assert [chart.id for chart in charts(app)] == ["grad_norm"], "zoomed, one after the other"
        await pilot.press("escape")
        await pilot.pause()
        assert len(charts(app)) == 4


async def test_the_cursor_reads_values_and_escape_takes_it_away(home: Path) -> None:
    events = recorded_events()
    app = KtoApp(run=make_run(home, events, alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("left")
        last = next(event for event in reversed(events) if isinstance(event, StepCompleted))
        assert said(app, "news").endswith(f"step 40  loss {last.loss:.4g}")
        await pilot.press("z", *["left"] * 3)
        at = int(said(app, "news").split("step ")[-1].split()[0])
        assert 34 <= at < 40
        measured = next(one for one in events if isinstance(one, StepCompleted) and one.step == at)
        assert said(app, "news").endswith(f"loss {measured.loss:.4g}")
        await pilot.press("right", "tab")
        assert "margin" in said(app, "news"), "another pane of the same axis is read at the same place"
        await pilot.press("escape")
        assert "step 3" not in said(app, "news")
        assert len(charts(app)) == 1, "the zoom goes with the next escape"
        await pilot.press("escape")
        assert len(charts(app)) == 4


async def test_a_stretch_of_steps_follows_or_stands(home: Path) -> None:
    events = now(upto_step(30))
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        edges = lambda: str(chosen(app)._border_subtitle)  # noqa: E731
        assert edges() == "0 .. 40"
        await pilot.press("plus")
        assert edges() == "15 .. 35"
        shift = events[-1].t - upto_step(30)[-1].t
        append(run, *[msgspec.structs.replace(one, t=one.t + shift) for one in steps_between(30, 36)])
        await until(pilot, lambda: edges() == "20 .. 40")
        await pilot.press("f", *["left"] * 40)
        low = float(edges().split(" .. ")[0])
        assert low < 20, "the cursor moves what stands"
        append(run, *[msgspec.structs.replace(one, t=one.t + shift) for one in steps_between(36, 39)])
        await until(pilot, lambda: "step 39/40" in said(app, "progress"))
        assert float(edges().split(" .. ")[0]) == low
        await pilot.press("minus")
        assert edges() == "0 .. 40"


async def test_log_scale_and_smoothing_act_on_the_chosen_pane(home: Path) -> None:
    app = KtoApp(run=make_run(home, recorded_events(), alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("y", "m")
        assert (chosen(app).log_scale, chosen(app).smoothing) == (True, 0.6)
        assert [(one.log_scale, one.smoothing) for one in charts(app)[1:]] == [(False, 0.0)] * 3
        await pilot.press("y", "m", "m")
        assert (chosen(app).log_scale, chosen(app).smoothing) == (False, 0.0)


@pytest.mark.parametrize(
    ("key", "screen", "words"),
    [
        ("g", SamplesScreen, "base model"),
        ("v", ResultsScreen, "Held-out reward accuracy"),
        ("l", LogScreen, "The log is empty"),
        ("e", LinesScreen, "reading the data"),
        ("w", LinesScreen, "Healthy: margin"),
        ("enter", LinesScreen, "Healthy: margin"),
        ("question_mark", HelpDialog, "Save a checkpoint"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
async def test_keys_open_and_escape_closes(
    home: Path, key: str, screen: type, words: str, size: tuple[int, int]
) -> None:
    app = KtoApp(run=make_run(home, recorded_events(), alive=False))
    async with app.run_test(size=size) as pilot:
        await until(pilot, shown(app))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, screen) and app.screen.is_mounted)
        await pilot.pause()
        assert words in " ".join(str(static.render()) for static in app.screen.query(Static))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)


async def test_runs_are_a_key_away(home: Path) -> None:
    app = KtoApp(run=make_run(home, recorded_events(), alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_mounted)


@pytest.mark.parametrize(("key", "action"), [("p", "pause"), ("s", "stop")])
async def test_pause_and_stop_ask_first_and_then_ask_the_worker(home: Path, key: str, action: str) -> None:
    run = make_run(home, now(upto_step(20)), alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog) and app.screen.is_mounted)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)
        assert ControlReader(run.control).latest() is None
        await pilot.press(key, "y")
        await until(pilot, lambda: ControlReader(run.control).latest() == action)


@pytest.mark.parametrize(("typed", "asked"), [("abort", "abort"), ("yes", None)])
async def test_abort_needs_the_word(home: Path, typed: str, asked: str | None) -> None:
    run = make_run(home, now(upto_step(20)), alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AskDialog) and app.screen.is_mounted)
        app.screen.query_one(Input).value = typed
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)
        assert ControlReader(run.control).latest() == asked


async def test_a_mark_is_written_and_comes_back_as_news(home: Path) -> None:
    events = now(upto_step(20))
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, AskDialog) and app.screen.is_mounted)
        app.screen.query_one(Input).value = "fan on"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)
        assert ControlReader(run.control).marks() == ["fan on"]
        append(run, Marked(t=events[-1].t, step=20, text="fan \x1b[31mon"))
        await until(pilot, lambda: "mark at step 20: fan ^[[31mon" in said(app, "news"))


@pytest.mark.parametrize("key", ["p", "s", "a", "k", "c"])
async def test_keys_that_cannot_do_their_work_say_why(home: Path, key: str) -> None:
    app = KtoApp(run=make_run(home, [*upto_step(20), ended("paused")], alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, LiveScreen)
        (told,) = [note.message for note in app._notifications]
        assert "the run is paused" in told


async def test_who_only_watches_has_no_key_that_touches_the_run(home: Path) -> None:
    run = make_run(home, now(upto_step(20)), alive=True)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(LiveScreen(run, read_only=True))
        await until(pilot, shown(app))
        assert "read-only" in said(app, "title")
        for key in ("p", "s", "a", "k", "c", "u"):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, LiveScreen), key
        assert not app._notifications
        assert not run.control.exists()
        assert {binding.key for binding in key_table(live(app))}.isdisjoint("psakcu")
        assert "Pause" not in said(app, "keys")
        assert "Zoom" in said(app, "keys")


RESUMED: list[tuple[str, list[AnyEvent], str, str]] = [
    ("paused", [ended("paused", "Paused after step 20.")], "PAUSED", "u begins again. Paused after step 20."),
    (
        "failed",
        [CheckpointSaved(step=16, path="checkpoint-16", size_bytes=1000), ended("failed", "The disk is full.")],
        "FAILED",
        "u goes on after the newest checkpoint. The disk is full.",
    ),
    ("died", [], "DIED", "u begins again. The run ended without a last word"),
]


@pytest.mark.parametrize(("word", "more", "title", "words"), RESUMED, ids=[case[0] for case in RESUMED])
async def test_a_run_that_can_go_on_says_what_happened_and_the_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, word: str, more: list[AnyEvent], title: str, words: str
) -> None:
    resumed: list[str] = []
    monkeypatch.setattr("kto_tui.tui.screens.run_controls.resume", lambda run: resumed.append(run.id))
    app = KtoApp(run=make_run(home, [*upto_step(20), *more], alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        assert title in said(app, "title")
        assert f"{word} at step 20 of 40" in said(app, "progress")
        assert words in said(app, "told")
        assert said(app, "keys").startswith("u Resume")
        await pilot.press("u")
        await until(pilot, lambda: resumed == ["warm-dove"])


async def test_a_resume_that_fails_says_why(home: Path) -> None:
    """A folder stands where requests are written."""
    run = make_run(home, [*upto_step(20), ended("paused")], alive=False)
    run.control.mkdir()
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("u")
        await until(pilot, lambda: any("cannot be written" in note.message for note in app._notifications))


async def test_a_resumed_run_draws_over_what_it_had_measured(home: Path) -> None:
    events = now(upto_step(20))
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("z")
        await pilot.pause()
        before = drawn(chosen(app))
        again = [msgspec.structs.replace(one, t=events[-1].t) for one in steps_between(10, 12)]
        append(run, WorkerStarted(t=events[-1].t, host="laptop", pid=1), Resumed(t=events[-1].t, step=10), *again)
        await until(pilot, lambda: "step 12/40" in said(app, "progress"))
        after = drawn(chosen(app))
        assert after != before
        assert len(live(app)._curves.steps["loss"]) == 12
        assert "goes on after step 10" in said(app, "news")
    wide = KtoApp(run=run)
    async with wide.run_test(size=(140, 45)) as pilot:
        await until(pilot, shown(wide))
        assert "resumed at 10" in said(wide, "progress")


async def test_gaps_and_queues_and_lost_memory_are_shown(home: Path) -> None:
    events = now(upto_step(20))
    last = next(event for event in reversed(events) if isinstance(event, StepCompleted))
    nothing = msgspec.structs.replace(last, step=21, loss=None, kl=None, margin=None, tokens_per_second=None)
    run = make_run(home, [*events, nothing], alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        assert charts(app)[0]._latest == "–"
        assert "– tok/s" in said(app, "progress")
        append(run, MemoryRanOut(t=last.t, proof="exception", message="tried 2 GiB"))
        await until(pilot, lambda: "memory ran out: tried 2 GiB" in said(app, "news"))
        append(run, WorkerStarted(t=last.t, host="laptop", pid=1), Queued(t=last.t, device="gpu 0", holder="calm-fox"))
        await until(pilot, lambda: "QUEUED" in said(app, "title"))
        assert "queued behind calm-fox on gpu 0" in said(app, "progress")


async def test_gpu_panes_stand_in_place_of_those_of_the_processor(home: Path) -> None:
    gib = 1024**3
    gauges = [
        msgspec.structs.replace(
            event, gpu_used_bytes=6 * gib, gpu_total_bytes=8 * gib, gpu_percent=93.0, gpu_celsius=63.0, gpu_watts=180.0
        )
        if isinstance(event, GaugesRead)
        else event
        for event in now(upto_step(30))
    ]
    app = KtoApp(run=make_run(home, gauges, alive=True))
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, shown(app))
        assert next(chart for chart in charts(app) if chart.id == "memory")._latest == "GPU 6.0 of 8.0"
        assert " Wh" in said(app, "progress")
        await pilot.press("n")
        await pilot.pause()
        latest = {chart.id: chart._latest for chart in charts(app)}
        assert list(latest) == ["margin", "learning_rate", "speed", "gpu", "power"]
        assert (latest["gpu"], latest["power"]) == ("93 %  63 °C", "180 W")


@pytest.mark.parametrize("size", SIZES)
async def test_a_mac_shows_its_allocator_and_its_heat(home: Path, size: tuple[int, int]) -> None:
    gib = 1024**3
    events: list[AnyEvent] = []
    for event in now(upto_step(30)):
        if isinstance(event, GaugesRead):
            events += [
                AllocatorRead(t=event.t, active_bytes=5 * gib, cache_bytes=gib, peak_bytes=7 * gib),
                msgspec.structs.replace(
                    event,
                    gpu_used_bytes=6 * gib,
                    gpu_total_bytes=24 * gib,
                    gpu_percent=93.0,
                    thermal_pressure="moderate",
                    host_available_bytes=9 * gib,
                    wired_bytes=8 * gib,
                ),
            ]
        else:
            events.append(event)
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=size) as pilot:
        await until(pilot, shown(app))
        latest: dict[str | None, str] = {}
        for _ in range(4):
            latest |= {chart.id: chart._latest for chart in charts(app)}
            for chart in charts(app):
                title, subtitle = chart._texts
                assert max(title.cell_length, subtitle.cell_length) <= chart.outer_size.width - 4
            await pilot.press("n")
            await pilot.pause()
        assert {"cpu", "power"}.isdisjoint(latest), "what is not known has no pane"
        assert latest["ram"] == "9.0, wired 8.0", "the GPU's memory is the host's"
        assert latest["memory"] == "GPU 6.0 of 24.0"
        assert latest["allocator"] == "5.0 peak 7.0"
        assert latest["gpu"] == "93 %  thermal moderate"
        last = events[-1].t
        append(run, AllocatorRead(t=last + 1, active_bytes=6 * gib, cache_bytes=0, peak_bytes=8 * gib))
        live(app).read()
        await until(pilot, lambda: live(app).state.allocator_peak_bytes == 8 * gib)
        while "allocator" not in {chart.id for chart in charts(app)}:
            await pilot.press("n")
            await pilot.pause()
        assert next(chart for chart in charts(app) if chart.id == "allocator")._latest == "6.0 peak 8.0"


async def test_resizing_at_any_moment_keeps_everything_in_its_place(home: Path) -> None:
    events = now(recorded_events())
    run = make_run(home, events[:60], alive=True)
    chance = random.Random(6)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        for n in range(25):
            await pilot.resize_terminal(chance.randint(20, 200), chance.randint(5, 60))
            append(run, *events[60 + 3 * n : 63 + 3 * n])
            if not live(app).reading:
                live(app).read()
            await pilot.press(chance.choice(["tab", "z", "n", "left", "plus", "minus", "f", "y", "m", "escape"]))
            await asyncio.sleep(0)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: isinstance(app.screen, LiveScreen) and app.screen.is_mounted)
        await until(pilot, shown(app))
        await pilot.pause()
        live(app).read()
        assert live(app).state == run.read_state()
        assert app.screen.query_one("#keys").region.bottom == 24
        assert sum(chart.outer_size.height * chart.outer_size.width for chart in charts(app)) == 80 * 16


async def test_plain_screens_are_seven_bit(home: Path) -> None:
    app = KtoApp(run=make_run(home, recorded_events(), alive=False), plain=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        for keys in (("m",), ("z", "left"), ("n",), ("g",), ("escape", "e"), ("escape", "question_mark")):
            await pilot.press(*keys)
            await pilot.pause()
            lines = [strip.text for strip in app.screen._compositor.render_strips()]
            assert all(line.isascii() for line in lines), [line for line in lines if not line.isascii()]


async def test_the_time_stands_still_while_nothing_arrives(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(home, now(upto_step(20)), alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(KtoApp, "_display", lambda _, screen, renderable: painted.append(renderable))
        for _ in range(5):
            live(app).read()
            await pilot.pause(0.05)
        assert painted == []


def test_every_key_of_the_last_line_is_a_key_of_the_screen() -> None:
    keys = {binding.key.split(",")[0] for binding in LiveScreen.BINDINGS if not isinstance(binding, tuple)}
    assert set(GOING) <= keys
    assert len(LiveScreen.BINDINGS) > 20


async def test_a_sick_run_says_what_is_wrong_and_what_to_do(home: Path) -> None:
    run = make_run(home, read_events(SICK / "lr_x100.jsonl"), alive=False)
    run.config.write_text(run.config.read_text().replace("learning_rate = 0.0003", "learning_rate = 0.03"))
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        recipe = load_config(run.config).recipe
        first = judge(live(app)._curves, live(app).state, recipe)[0]
        assert first.rule == "learning_rate_too_high"
        assert said(app, "told").startswith(first.sentence)
        told = app.screen.query_one("#told")
        drawn_words = " ".join(" ".join(told.render_line(y).text for y in range(told.size.height)).split())
        assert first.advice in drawn_words, "advice is never cut for notes"
        assert told.size.height + app.screen.query_one("#news").size.height == 5
        await pilot.press("w")
        await pilot.pause()
        lines = " ".join(str(app.screen.query_one("#lines", Static).render()).split())
        assert first.sentence in lines
        assert first.advice in lines
