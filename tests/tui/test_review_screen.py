"""The Review screen says how long a run takes and what it draws, and how it knows."""

import pytest

from kto_tui.catalog import find
from kto_tui.draft import Draft, choose_data, choose_model, starter_draft
from kto_tui.hardware.presets import load_hardware
from kto_tui.memory.measured import SpeedRecord, add
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.review import ReviewScreen, effort_sentence
from tests.tui.machines import LAPTOP
from tests.tui.test_another_machine import shown
from tests.tui.test_wizard import SIZES, text


def draft_for(machine: str) -> Draft:
    model = find("Qwen/Qwen2.5-0.5B-Instruct")
    assert model is not None
    return choose_data(choose_model(Draft(hardware=load_hardware(machine)), model), "starter")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ("rtx-3070-8gb", ["Training takes about ", "Wh (class estimate:", "not measured"]),
        ("mac-m4-24gb", ["Time and energy: unknown until a run here has measured it."]),
    ],
)
@pytest.mark.parametrize("size", SIZES)
async def test_time_and_energy_say_where_they_are_from(machine: str, words: list[str], size: tuple[int, int]) -> None:
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await app.switch_screen(ReviewScreen(draft_for(machine)))
        await pilot.pause()
        whole = " ".join(" ".join(shown(app)).split())
        for word in words:
            assert word in whole, word
        assert "enter Train" in whole


@pytest.mark.parametrize(("watts", "energy"), [(50.0, "Wh (measured in 1 run here)"), (None, "nothing here measures")])
def test_a_run_here_is_what_later_ones_go_by(watts: float | None, energy: str) -> None:
    assert LAPTOP.device_name is not None
    assert "unknown until a run here has measured it" in effort_sentence(starter_draft(LAPTOP))
    add(SpeedRecord(device=LAPTOP.device_name, run="a", precision="fp32", flops=1e11, watts=watts))
    told = effort_sentence(starter_draft(LAPTOP))
    assert "(measured in 1 run here)" in told
    assert energy in told
    add(SpeedRecord(device=LAPTOP.device_name, run="b", precision="fp32", flops=1e11, watts=watts))
    assert "measured in 2 runs here" in effort_sentence(starter_draft(LAPTOP))


async def test_a_trial_takes_less() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ReviewScreen(draft_for("rtx-3070-8gb")))
        await pilot.pause()
        before = text(app, "#sentence")
        await pilot.press("t")
        await pilot.pause()
        assert "200 rows" in text(app, "#sentence")
        assert text(app, "#sentence").splitlines()[1] != before.splitlines()[1]
