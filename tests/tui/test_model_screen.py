"""The Model screen with real keys, on machines one does not sit at."""

from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from kto_tui.catalog import find, load_catalog
from kto_tui.draft import Draft, choose_model, starter_draft
from kto_tui.hardware import Hardware
from kto_tui.hardware.presets import load_hardware
from kto_tui.tui.app import KtoApp
from kto_tui.tui.candidates import ORDER
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.download import LoginDialog
from kto_tui.tui.screens.hardware import HardwareScreen
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.widgets.parts_bar import END
from tests.catalog.folders import write_packed
from tests.tui.machines import RTX_3070
from tests.tui.test_another_machine import shown
from tests.tui.test_candidates import with_free
from tests.tui.test_wizard import SIZES, at, text, type_text, until

ALL = len(load_catalog())
LARGE = "meta-llama/Llama-3.1-70B-Instruct"
MACHINES = ["rtx-3070-8gb", "mac-m4-24gb"]


async def open_at(pilot: Pilot[int], hardware: Hardware, model: str | None = None) -> KtoApp:
    draft = Draft(hardware=hardware)
    if model is not None and (spec := find(model)) is not None:
        draft = choose_model(draft, spec)
    assert isinstance(pilot.app, KtoApp)
    await pilot.app.switch_screen(ModelScreen(draft))
    await pilot.pause()
    return pilot.app


def table(app: KtoApp) -> DataTable[object]:
    return app.screen.query_one(DataTable)


def verdicts(app: KtoApp) -> list[str]:
    return [next(word for word in map(str, table(app).get_row(key)) if word in ORDER) for key in table(app).rows]


def under_cursor(app: KtoApp) -> str:
    here = table(app)
    return str(here.coordinate_to_cell_key(here.cursor_coordinate).row_key.value)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MACHINES)
async def test_everything_that_decides_is_on_the_screen(name: str, size: tuple[int, int]) -> None:
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await open_at(pilot, load_hardware(name))
        lines = shown(app)
        whole = " ".join(" ".join(lines).split())
        assert verdicts(app)[0] == "FITS"
        assert text(app, "#facts").startswith(under_cursor(app))
        reserved = () if name.startswith("mac") else ("likely", "reserved")  # MLX gives back what it keeps
        for words in ("free", "1k rows", "download", " = ", *reserved, "FITS needs about"):
            assert words in whole, words
        assert "not measured" in whole or "±25 %" in whole
        for label in ("With", "Why", "Time", "For") if size[1] < 30 else ("With", "Time", "For"):
            assert any(line.lstrip().startswith(label) for line in lines), label
        assert "of free Verdict" in whole
        assert "too large" in whole
        assert lines[-1].split()[:2] == ["enter", "Choose"]
        assert "? Help" in lines[-1]
        assert table(app).size.height >= 8
        assert ("Licence" in whole) is (size[0] > 100)
        assert not any(line.rstrip().endswith("…") for line in lines[3:-1])


async def test_the_bar_and_the_reasons_follow_the_cursor() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"), "Qwen/Qwen2.5-0.5B-Instruct")
        before = (text(app, "#facts"), text(app, "#parts"), text(app, "#detail"))
        assert before[0].startswith("Qwen/Qwen2.5-0.5B-Instruct")
        assert before[1].count(END) == 1
        await pilot.press("up", "up")
        await pilot.pause()
        after = (text(app, "#facts"), text(app, "#parts"), text(app, "#detail"))
        assert after[0].startswith(under_cursor(app))
        assert all(one != other for one, other in zip(before, after, strict=True))


async def test_home_and_end_go_to_the_first_and_last_model() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"))
        await pilot.press("end")
        assert table(app).cursor_row == table(app).row_count - 1
        assert text(app, "#facts").startswith(under_cursor(app))
        await pilot.press("home")
        assert table(app).cursor_row == 0


async def test_words_narrow_the_list_while_arrows_move_in_it() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"))
        first = under_cursor(app)
        await pilot.press("slash")
        await type_text(pilot, "qwen coding")
        await pilot.pause()
        assert isinstance(app.focused, Input)
        assert 1 < table(app).row_count < ALL
        assert f"{table(app).row_count} of {ALL} models" in text(app, "#count")
        assert under_cursor(app).startswith("Qwen/")
        assert text(app, "#facts").startswith(under_cursor(app))
        row = table(app).cursor_row
        await pilot.press("down")
        await pilot.pause()
        assert table(app).cursor_row == row + 1
        assert text(app, "#facts").startswith(under_cursor(app))
        await type_text(pilot, "no such model")
        await pilot.pause()
        assert table(app).row_count == 0
        assert text(app, "#count") == f"0 of {ALL} models"
        assert not app.screen.query_one("#below").visible
        for _ in range(2):
            assert "No model matches 'no such model'; esc clears the filter" in " ".join(" ".join(shown(app)).split())
            await pilot.press("enter")
            await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert not app.screen.query_one("#problem").display
        assert app.screen.query_one(Input).value == ""
        assert app.focused is table(app)
        assert table(app).row_count > 10
        assert first in table(app).rows
        await pilot.press("escape")
        await until(pilot, at(app, HardwareScreen))


async def test_what_is_typed_is_seen_in_seven_bit_characters_too() -> None:
    app = KtoApp(plain=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"))
        assert "/ filter by name" in shown(app)[1]
        await pilot.press("slash")
        await type_text(pilot, "qwen")
        await pilot.pause()
        assert shown(app)[1].split()[0] == "qwen"


async def test_enter_chooses_from_the_filter_line() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("mac-m4-24gb"))
        await pilot.press("slash")
        await type_text(pilot, "qwen fast apache")
        await pilot.press("down")
        await pilot.pause()
        chosen = under_cursor(app)
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))
        assert isinstance(app.screen, DataScreen)
        assert app.screen.draft is not None
        assert app.screen.draft.model == find(chosen)


async def test_v_shows_what_does_not_fit_and_hides_it_again() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"))
        fitting, stays = table(app).row_count, under_cursor(app)
        assert "NO" not in verdicts(app)
        await pilot.press("v")
        await pilot.pause()
        assert table(app).row_count == ALL
        assert verdicts(app) == sorted(verdicts(app), key=ORDER.index)
        assert under_cursor(app) == stays
        await pilot.press("ctrl+end")
        await pilot.pause()
        assert text(app, "#parts").splitlines()[0].index(END) < 70, "the mark lies inside the parts"
        assert "would have to be free" in " ".join(text(app, "#parts").split())
        await pilot.press("v")
        await pilot.pause()
        assert table(app).row_count == fitting


async def name_model(pilot: Pilot[int], app: KtoApp, name: str) -> None:
    """Key ``e``, a folder or hub id, Enter; returns once the cursor is on it."""
    await pilot.press("e")
    await until(pilot, at(app, AskDialog))
    app.screen.query_one(Input).value = name
    await pilot.press("enter")
    await until(pilot, lambda: at(app, ModelScreen)() and under_cursor(app) == name)


async def test_what_was_chosen_is_found_again_though_it_does_not_fit() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"), LARGE)
        assert under_cursor(app) == LARGE
        await open_at(pilot, load_hardware("rtx-3070-8gb"))
        await name_model(pilot, app, LARGE)
        assert table(app).row_count == ALL
        assert text(app, "#facts").startswith(LARGE)
        await name_model(pilot, app, "acme/unheard-of")
        assert "UNKNOWN" in text(app, "#parts")
        assert "download of unknown size" in text(app, "#facts")


@pytest.mark.parametrize(
    ("overrides", "width", "told"),
    [
        ({}, 80, "7.2 GiB free"),
        ({"beta": 0.3}, 140, "7.2 GiB free"),  # memory does not depend on it
        ({"max_length": 8192, "beta": 0.3}, 80, "your max_length 8192"),
        ({"max_length": 8192}, 100, "7.2 GiB free · your max_length 8192"),
        ({"max_length": 8192, "gradient_checkpointing": True}, 80, "with your settings"),
        (
            {"max_length": 8192, "gradient_checkpointing": True},
            140,
            "7.2 GiB free · your max_length 8192, gradient_checkpointing on",
        ),
    ],
)
async def test_what_was_set_by_hand_and_moves_the_verdicts_is_said(
    overrides: dict[str, object], width: int, told: str
) -> None:
    app = KtoApp()
    async with app.run_test(size=(width, 24)) as pilot:
        await app.switch_screen(ModelScreen(Draft(hardware=RTX_3070, overrides=overrides)))
        await pilot.pause()
        assert shown(app)[0].split("5 Review")[1].strip() == told


async def test_no_memory_free_and_memory_unknown_are_told_apart() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, with_free(RTX_3070, 0))
        assert set(verdicts(app)) == {"NO"}
        assert table(app).row_count == ALL
        assert "and no memory is free" in text(app, "#parts")
        assert text(app, "#parts").startswith(END)
        await open_at(pilot, with_free(RTX_3070, None))
        assert set(verdicts(app)) == {"UNKNOWN"}
        assert "but free memory is unknown" in text(app, "#parts")
        assert END not in text(app, "#parts")
        assert "unknown free" in text(app, "#rail")


async def test_a_gated_model_says_so_before_it_is_chosen_and_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("rtx-3070-8gb"), "meta-llama/Llama-3.2-1B-Instruct")
        row = [str(cell) for cell in table(app).get_row("meta-llama/Llama-3.2-1B-Instruct")]
        assert "gated" in row[1]
        assert "accept its licence on the hub and log in before training" in text(app, "#detail")
        await pilot.press("enter")
        await until(pilot, at(app, LoginDialog))


async def test_a_resized_terminal_keeps_the_cursor_and_gets_more_columns() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, load_hardware("mac-m4-24gb"))
        await pilot.press("down", "down")
        await pilot.pause()
        stays, columns = under_cursor(app), len(table(app).columns)
        await pilot.resize_terminal(140, 45)
        await pilot.pause()
        assert under_cursor(app) == stays
        assert len(table(app).columns) == columns + 1
        assert "Learning rate" in text(app, "#detail")


@pytest.mark.parametrize("size", SIZES)
async def test_a_folder_that_mlx_has_quantised_is_judged_and_says_so(size: tuple[int, int], tmp_path: Path) -> None:
    folder = str(write_packed(tmp_path))
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await open_at(pilot, load_hardware("mac-m4-24gb"))
        await name_model(pilot, app, folder)
        assert "FITS" in text(app, "#parts")
        assert "not measured on Metal" in " ".join(text(app, "#parts").split())
        words = "the checkpoint is quantised already" if size[0] > 80 else "weights as quantised"
        assert words in " ".join(text(app, "#detail").split())


async def test_time_is_for_the_rows_one_has() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(ModelScreen(msgspec.structs.replace(starter_draft(load_hardware("t4-16gb")))))
        await pilot.pause()
        assert "your 496 rows: about " in " ".join(text(app, "#detail").split())
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))
