"""Planning for another machine in the wizard, and what keeps such a plan from training here."""

import os
import tomllib
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from kto_tui.draft import Draft, choose_hardware, starter_draft
from kto_tui.hardware import detect
from kto_tui.hardware.presets import hardware_presets, load_hardware
from kto_tui.runs.config import read_request
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.dialogs import ChooseDialog, ConfirmDialog
from kto_tui.tui.screens.hardware import HardwareScreen
from kto_tui.tui.screens.review import ReviewScreen
from tests.hardware.answers import LAPTOP as LAPTOP_FILES
from tests.hardware.answers import MACS, RTX_3060, RTX_3090, card, linux, macos, nvml, process
from tests.tui.machines import LAPTOP
from tests.tui.test_wizard import SIZES, at, text, until


def shown(app: KtoApp) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


async def test_a_machine_is_chosen_from_the_list_and_left_again() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(app.screen.query("#facts")) and "CPU" in text(app, "#facts"))
        here = text(app, "#facts")
        await pilot.press("a")
        await until(pilot, at(app, ChooseDialog))
        options = app.screen.query_one(OptionList)
        assert [option.id for option in options.options] == ["this", *hardware_presets()]
        assert options.highlighted == 0
        options.highlighted = [option.id for option in options.options].index("rtx-3070-8gb")
        await pilot.press("enter")
        await until(pilot, at(app, HardwareScreen))
        assert "for rtx-3070-8gb" in text(app, "#rail")
        assert "Planned machine: RTX 3070, 8 GB" in text(app, "#facts")
        assert "Assumed: a desktop and the driver take 0.8 GiB" in " ".join(text(app, "#facts").split())
        await pilot.press("a", "escape")
        await until(pilot, at(app, HardwareScreen))
        assert "for rtx-3070-8gb" in text(app, "#rail")
        await pilot.press("a")
        await until(pilot, at(app, ChooseDialog))
        assert app.screen.query_one(OptionList).highlighted == list(hardware_presets()).index("rtx-3070-8gb") + 1
        await pilot.press("home", "enter")
        await until(pilot, lambda: at(app, HardwareScreen)() and "This machine" in text(app, "#facts"))
        assert text(app, "#facts").splitlines()[1] == here.splitlines()[1]


async def open_plan(pilot: Pilot[int]) -> KtoApp:
    """``kto-tui --as mac-m4-24gb``, the starter key, Review."""
    app = pilot.app
    assert isinstance(app, KtoApp)
    await until(pilot, lambda: bool(app.screen.query("#facts")) and "Apple M4" in text(app, "#facts"))
    assert "for mac-m4-24gb" in text(app, "#rail")
    await pilot.press("t")
    await until(pilot, at(app, ReviewScreen))
    assert "for mac-m4-24gb" in text(app, "#rail")
    return app


async def test_a_plan_never_starts_here_and_says_how_to_go_on(home: Path) -> None:
    async with KtoApp(planned=load_hardware("mac-m4-24gb")).run_test(size=(80, 24)) as pilot:
        app = await open_plan(pilot)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, ReviewScreen)
        assert "nothing starts here" in text(app, "#problem")
        assert "kto-tui train run.toml" in text(app, "#problem")
    assert os.listdir(home) == ["cache"], "no run was written"  # noqa: PTH208 - an async test may not use pathlib


async def test_a_plan_is_saved_as_a_run_file_that_can_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with KtoApp(planned=load_hardware("mac-m4-24gb")).run_test(size=(80, 24)) as pilot:
        app = await open_plan(pilot)
        await pilot.press("w")
        await until(pilot, lambda: "Saved as" in text(app, "#sentence"))
        assert "on that machine" in text(app, "#sentence")
        request = read_request(tmp_path / "run.toml")
        assert request.data == "starter"
        assert request.overrides["precision"] == "bf16", "planned for MLX on Metal, whatever this machine has"
        (tmp_path / "run.toml").write_text("mine = true\n")
        await pilot.press("w")
        await until(pilot, at(app, ConfirmDialog))
        await pilot.press("n")
        await until(pilot, at(app, ReviewScreen))
        assert tomllib.loads((tmp_path / "run.toml").read_text()) == {"mine": True}
        await pilot.press("w")
        await until(pilot, at(app, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: "model" in (tmp_path / "run.toml").read_text())


async def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ReviewScreen(starter_draft(LAPTOP)))
        await pilot.press("w")
        await pilot.pause()
        assert "run.toml cannot be written here" in text(app, "#problem")
    monkeypatch.chdir(tmp_path)


def test_another_machine_picks_the_recipe_anew_and_keeps_model_and_data() -> None:
    draft = msgspec.structs.replace(starter_draft(LAPTOP), overrides={"beta": 0.2})
    moved = choose_hardware(draft, load_hardware("h100-80gb"))
    assert (moved.model, moved.data, moved.overrides) == (draft.model, draft.data, draft.overrides)
    assert draft.preset is not None
    assert moved.preset is not None
    assert (draft.preset.name, moved.preset.name) == ("starter", "usual")
    assert choose_hardware(Draft(hardware=LAPTOP), moved.hardware).hardware is moved.hardware


BUSY = [process(5, "/usr/lib/xorg/Xorg", 614), process(6, "/usr/lib/firefox/firefox", 212), process(7, "mpv", 90)]
BUSY_3090 = card("NVIDIA GeForce RTX 3090", (8, 6), 24576, 23000, watts=350, graphics=BUSY)
REMOTE = {"SSH_TTY": "/dev/pts/1", "TMUX": "x", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
FULL = {
    "two GPUs": ("RTX 3060", lambda root: linux(root, LAPTOP_FILES, nvml(BUSY_3090, RTX_3060), **REMOTE)),
    "eight GPUs": ("GPU 7", lambda root: linux(root, LAPTOP_FILES, nvml(*[RTX_3090] * 8))),
    "mac": ("Apple M4 Max", lambda _: macos(MACS["M4 Max"])),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FULL)
async def test_nothing_important_is_cut(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    """All facts and the advice are on the screen, the keys in its last line."""
    word, sources = FULL[name]
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await app.switch_screen(HardwareScreen(Draft(hardware=detect(sources(tmp_path)))))
        await pilot.pause()
        lines = shown(app)
        whole = "\n".join(lines)
        assert word in whole
        for needed in ("CPU", "RAM", "Trains with", "Because"):
            assert needed in whole, needed
        assert "a Another machine" in lines[-1]
        assert "? Help" in lines[-1]
        facts = app.screen.query_one("#facts", Static)
        assert name == "eight GPUs" or facts.size.height <= size[1] - 3
