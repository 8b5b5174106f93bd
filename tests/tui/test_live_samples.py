"""The answers by step, and the settings that can be changed while a run trains."""

from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input, OptionList, Static

from kto_tui.runs.control import ControlReader
from kto_tui.runs.events import Adjusted, Answer, Sampled
from kto_tui.runs.settings import PROMPTS, SETTABLE
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.live_settings import LiveSettingsScreen
from tests.tui.live_runs import append, live, make_run, recorded_events, shown, upto_step
from tests.tui.test_live_screen import now, until


def text(app: KtoApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def sampled(step: int, **answers: str) -> Sampled:
    """Answers by prompt; one that ends with an ellipsis was cut."""
    told = tuple(Answer(prompt, said.removesuffix("…"), not said.endswith("…")) for prompt, said in answers.items())
    return Sampled(step=step, answers=told, mean_words=3.0, finished_share=0.5)


SAMPLES = [
    sampled(0, cats="they purr", dogs="they bark…"),
    sampled(10, cats="purr", dogs="bark"),
    sampled(0, cats="they purr", dogs="they bark…", frogs="they croak"),
    sampled(20, cats="p\x1b[2J", dogs="", frogs="croak"),
]


async def test_steps_and_prompts_are_walked_with_arrows(home: Path) -> None:
    events = [event for event in upto_step(20) if not isinstance(event, Sampled)]
    app = KtoApp(run=make_run(home, [*events, *SAMPLES[:2]], alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("g")
        await pilot.pause()
        assert "at step 10, 2 of 2   prompt 1 of 2" in text(app, "#rail")
        cats, dogs = text(app, "#lines").split("\n\n\n")
        assert cats == "cats\n\nbase model\nthey purr\n\nat step 10\npurr"
        assert dogs == "dogs\n\nbase model\nthey bark [...]\n\nat step 10\nbark"
        await pilot.press("down")
        assert text(app, "#lines").startswith("dogs")
        await pilot.press("left")
        assert "at step 0, 1 of 2" in text(app, "#rail")
        assert text(app, "#lines") == "dogs\n\nbase model\nthey bark [...]", "the base model alone"
        await pilot.press("left", "right")
        assert "at step 10" in text(app, "#rail")
        assert text(app, "#measures").splitlines()[1].startswith("step 10     mean 3 words, 50% ended")


async def test_answers_to_added_prompts_and_new_steps_appear_while_it_is_open(home: Path) -> None:
    events = now([event for event in upto_step(20) if not isinstance(event, Sampled)])
    run = make_run(home, [*events, *SAMPLES[:2]], alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("g")
        await pilot.pause()
        append(run, *[msgspec.structs.replace(one, t=events[-1].t) for one in SAMPLES[2:]])
        await until(pilot, lambda: "at step 20, 3 of 3   prompt 1 of 3" in text(app, "#rail"))
        lines = text(app, "#lines").splitlines()
        assert lines[3].split() == ["they", "purr", "p^[[2J"], "side by side, and harmless"
        assert any(line.split() == ["they", "croak", "croak"] for line in lines)
        assert any(line.split() == ["they", "bark", "[...]", "(nothing)"] for line in lines)
        await pilot.press("left")
        assert "was not asked this" in text(app, "#lines"), "frogs were not known at step 10"


async def test_long_answers_scroll(home: Path) -> None:
    long = sampled(0, cats=" ".join(f"word{n}" for n in range(800)))
    events = [event for event in upto_step(20) if not isinstance(event, Sampled)]
    app = KtoApp(run=make_run(home, [*events, long], alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("g")
        await pilot.pause()
        before = "".join(strip.text for strip in app.screen._compositor.render_strips())
        await pilot.press(*"jjjjj")
        await pilot.pause()
        after = "".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "word0 " in before
        assert "word0 " not in after


async def test_a_run_without_answers_says_so(home: Path) -> None:
    events = [event for event in upto_step(5) if not isinstance(event, Sampled)]
    app = KtoApp(run=make_run(home, events, alive=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("g", "left", "down")
        assert "No answers yet" in text(app, "#lines")


async def test_settings_show_what_holds_and_ask_the_worker(home: Path) -> None:
    events = now(upto_step(20))
    run = make_run(home, events, alive=True)
    app = KtoApp(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shown(app))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, LiveSettingsScreen) and app.screen.is_mounted)
        listed = app.screen.query_one(OptionList)
        line = lambda name: str(listed.get_option(name).prompt).split("  ")[-1].strip()  # noqa: E731
        assert listed.option_count == len(SETTABLE)
        assert line("log_every") == "1"
        assert line("save_every") == "automatic"
        assert line("stop_after") == "as planned"

        async def give(name: str, value: str) -> None:
            listed.highlighted = list(SETTABLE).index(name)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, AskDialog) and app.screen.is_mounted)
            app.screen.query_one(Input).value = value
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, LiveSettingsScreen) and app.screen.is_mounted)

        await give("learning_rate_scale", "0.5")
        assert line("learning_rate_scale") == "asked for: 0.5"
        await give(PROMPTS, "Do frogs croak?")
        await give(PROMPTS, "Do cats purr?")
        reader = ControlReader(run.control)
        reader.latest()
        assert reader.settings == {"learning_rate_scale": 0.5, PROMPTS: ("Do frogs croak?", "Do cats purr?")}
        heard = Adjusted(
            t=events[-1].t, name="learning_rate_scale", before=1.0, after=0.5, because="asked", by="person"
        )
        append(run, heard)
        await until(pilot, lambda: line("learning_rate_scale") == "0.5")
        listed.highlighted = list(SETTABLE).index("learning_rate_scale")
        await pilot.press("d")
        assert line("learning_rate_scale") == "asked for: 1"
        await give("log_every", "often")
        assert "Log" in text(app, "#problem")
        assert app.screen.query_one("#problem").display
        run.identity.unlink()
        await give("log_every", "7")
        assert "not there to hear it" in text(app, "#problem").replace("\n", " ")


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
async def test_every_key_line_fits(home: Path, size: tuple[int, int]) -> None:
    app = KtoApp(run=make_run(home, now(recorded_events()[:-3]), alive=True))
    async with app.run_test(size=size) as pilot:
        await until(pilot, shown(app))
        for key in ("g", "v", "c", "e", "l"):
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is not live(app)
            keys = app.screen.query_one("#keys", Static)
            assert keys.region.bottom == size[1]
            assert str(keys.render()).endswith("? Help")
            assert len(str(keys.render())) <= size[0] - 2
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is live(app))
