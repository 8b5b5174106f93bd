"""The Data screen with real keys, on real files, examined by the real program."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from kto_tui.catalog import resolve
from kto_tui.choices import DataChoices
from kto_tui.draft import Draft, choose_model, starter_draft
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.columns import ColumnsScreen
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.fixes import FixesScreen
from kto_tui.tui.screens.labels import LabelsDialog
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.rendered import RenderedScreen
from kto_tui.tui.widgets.check_list import CheckList
from tests.tiny import make_rows, write_jsonl
from tests.tui.feedback import sound_rows, troubled_csv, write_csv
from tests.tui.machines import LAPTOP
from tests.tui.test_another_machine import shown
from tests.tui.test_wizard import ROOT, SIZES, at, text, until

CONFIRMED = DataChoices(good=("up",), bad=("down",))


def screen_of(app: KtoApp) -> DataScreen:
    return next(screen for screen in app.screen_stack if isinstance(screen, DataScreen))


async def open_at(pilot: Pilot[int], data: Path, choices: DataChoices = CONFIRMED) -> KtoApp:
    """The Data screen with a file, examined."""
    app = pilot.app
    assert isinstance(app, KtoApp)
    draft = msgspec.structs.replace(starter_draft(LAPTOP), data=str(data), choices=choices, source=None)
    await app.switch_screen(DataScreen(draft))
    await settled(pilot)
    return app


async def settled(pilot: Pilot[int]) -> None:
    """Nothing is read or counted any more."""
    app = pilot.app
    assert isinstance(app, KtoApp)

    def quiet() -> bool:
        screen = screen_of(app)
        opened = screen._opened
        if screen._opening is not None or opened is None:
            return False
        return opened.head.unclear or (opened.decided is not None and opened.decided.choices == opened.wanted.choices)

    await until(pilot, quiet)
    await pilot.pause()


async def answer(pilot: Pilot[int], words: str) -> None:
    """Type into the dialog and press Enter."""
    await until(pilot, lambda: isinstance(pilot.app.screen, AskDialog))
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")
    await pilot.pause()


def row(app: KtoApp) -> str:
    """The first line that says which row it is."""
    return next(line for line in text(app, "#rows").splitlines() if line.startswith("Row "))


def choices_of(app: KtoApp) -> DataChoices:
    opened = screen_of(app)._opened
    assert opened is not None
    return opened.wanted.choices


@pytest.mark.parametrize("size", SIZES)
async def test_a_troubled_export_is_confirmed_mended_and_goes_into_the_run_file(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """From the file's name to the recipe with nothing but keys: every question is asked, nothing is assumed."""
    path = troubled_csv(tmp_path / "feedback.csv")
    app = KtoApp()
    async with app.run_test(size=size) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await pilot.press("o")
        await answer(pilot, str(path))
        await until(pilot, at(app, LabelsDialog))
        await pilot.press("escape")  # not now
        await until(pilot, at(app, DataScreen))
        await pilot.press("enter")  # is asked again
        await until(pilot, at(app, LabelsDialog))
        said = " ".join(str(option.prompt) for option in app.screen.query_one(OptionList).options)
        assert "up" in said
        assert "read as GOOD" in said
        assert "read as BAD" in said
        assert "read as NEITHER" in said
        assert "How do I reset the pump?" in said
        await pilot.press("y")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        numbers = " ".join(text(app, "#numbers").split())
        assert "prompt=question, completion=answer, label=feedback" in numbers
        assert "desirable 38" in numbers
        assert "19 undesirable" in numbers
        assert "ratio 1.00, within 1 to 1.33 (Eq. 8)" in numbers
        await pilot.press("enter")
        await until(pilot, at(app, FixesScreen))
        assert "Accept a fix" in text(app, "#problem")
        await pilot.press("a", "down", "a", "enter")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert "57 used" in " ".join(shown(app))
        await pilot.press("enter")
        await until(pilot, at(app, RecipeScreen))
        draft = app.screen.draft
        assert isinstance(draft, Draft)
        assert draft.choices == DataChoices(good=("up",), bad=("down",), fixes=draft.choices.fixes)
        assert set(draft.choices.fixes) == {"empty_completion", "unparsable_label"}
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert choices_of(app) == draft.choices
        assert "fix accepted" in " ".join(shown(app))


async def test_checks_lead_to_their_rows_and_back(tmp_path: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, troubled_csv(tmp_path / "feedback.csv"))
        await pilot.press("n", "n")
        assert row(app).startswith("Row 3 of 60  UNDESIRABLE  feedback.csv:4")
        await pilot.press("tab")
        assert screen_of(app).query_one(CheckList).chosen == "empty_completion"
        assert row(app).startswith("Row 4 of 60, 1 of the 2 here")
        assert "CANNOT BE TRAINED ON" in row(app)
        assert "[only white space" in text(app, "#rows")
        await pilot.press("n")
        assert row(app).startswith("Row 31 of 60, 2 of the 2 here")
        await pilot.press("n")
        assert row(app).startswith("Row 31 of 60, 2 of the 2 here")
        await pilot.press("escape")
        assert row(app).startswith("Row 31 of 60  ")
        await pilot.press("p")
        assert row(app).startswith("Row 30 of 60  ")
        await pilot.press("escape")
        await until(pilot, at(app, ModelScreen))


async def test_rows_are_found_by_number_and_by_their_text(tmp_path: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, write_csv(tmp_path / "feedback.csv", sound_rows(60)))
        await pilot.press("g")
        await answer(pilot, "42")
        assert row(app).startswith("Row 42 of 60")
        await pilot.press("g")
        await answer(pilot, "nowhere")
        assert "no row number" in text(app, "#problem")
        for number in (44, 48, 52):  # the next hit with the same key
            await pilot.press("slash")
            if number == 44:
                await answer(pilot, "YELLOW lamp")
            await until(pilot, lambda number=number: row(app).startswith(f"Row {number} of 60"))
        await pilot.press("escape")
        assert not app.screen.query_one("#problem").display
        await pilot.press("slash")
        await answer(pilot, "no such words")
        await until(pilot, lambda: "No row has" in text(app, "#problem"))
        assert row(app).startswith("Row 52 of 60")


async def test_a_row_is_left_out_and_a_label_turned_round_at_once_and_taken_back(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "feedback.csv", sound_rows(60))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, path)
        before = screen_of(app)._opened
        await pilot.press("x", "n", "l")
        assert "label TURNED ROUND by you" in row(app)
        assert "UNDESIRABLE" in row(app)
        await settled(pilot)
        assert "desirable 38" in text(app, "#numbers")
        assert "21 undesirable" in text(app, "#numbers")
        assert choices_of(app).excluded == (1,)
        assert choices_of(app).flipped == (2,)
        after = screen_of(app)._opened
        assert before is not None
        assert after is not None
        assert after.report is before.report, "nothing was read again"
        await pilot.press("enter")
        await until(pilot, at(app, RecipeScreen))
        assert isinstance(app.screen.draft, Draft)
        assert app.screen.draft.rows == 59
        assert app.screen.draft.choices == choices_of_draft(app)
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert "LEFT OUT by you" in row(app)
        await pilot.press("x", "n", "l")
        await settled(pilot)
        assert choices_of(app) == CONFIRMED
        assert "desirable 40" in text(app, "#numbers")


def choices_of_draft(app: KtoApp) -> DataChoices:
    return msgspec.structs.replace(CONFIRMED, excluded=(1,), flipped=(2,))


async def test_the_starter_set_is_not_changed() -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await settled(pilot)
        for key in "xlfme":
            await pilot.press(key)
            assert "starter set is used as it is" in text(app, "#problem")
        assert "the checks found nothing" in " ".join(shown(app))


async def test_columns_nobody_knows_are_asked_for_with_a_preview(tmp_path: Path) -> None:
    rows = [
        (f"Was kostet Teil {i}?", f"Es kostet {i * 7 % 50} Euro.", "gut" if i % 2 else "schlecht") for i in range(40)
    ]
    path = write_csv(tmp_path / "export.csv", rows, header=("frage", "antwort", "urteil"))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await settled(pilot)
        await pilot.press("o")
        await answer(pilot, str(path))
        await until(pilot, at(app, ColumnsScreen))
        await pilot.press("enter")
        assert "Not yet" in text(app, "#problem")
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
        assert "Starter set" in text(app, "#numbers"), "the data before stay"
        await pilot.press("o")
        await answer(pilot, str(path))
        await until(pilot, at(app, ColumnsScreen))
        for name, role in (("frage", "prompt"), ("antwort", "completion"), ("urteil", "label")):
            await map_column(pilot, name, role)
        preview = text(app, "#rows")
        assert "Was kostet Teil 0?" in preview
        assert "label 'schlecht'" in preview
        await pilot.press("n")
        assert "label 'gut'" in text(app, "#rows")
        await pilot.press("enter")
        await until(pilot, at(app, LabelsDialog))
        await pilot.press("y")  # no word of them is known
        assert "Say first which values are good" in text(app, "#answers")
        labels = app.screen.query_one(OptionList)
        for index, presses in enumerate(1 if "gut" in str(one.prompt) else 2 for one in labels.options):
            labels.highlighted = index
            await pilot.press(*["space"] * presses)
        await pilot.press("y")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert choices_of(app) == DataChoices(
            shape="table",
            columns={"frage": "prompt", "antwort": "completion", "urteil": "label"},
            good=("gut",),
            bad=("schlecht",),
        )
        assert "desirable 20" in text(app, "#numbers")


async def map_column(pilot: Pilot[int], name: str, role: str) -> None:
    """Give a column a role by pressing → until it has it."""
    listed = pilot.app.screen.query_one(OptionList)
    listed.highlighted = next(i for i, one in enumerate(listed.options) if str(one.prompt).startswith(name))
    for _ in range(20):
        assert listed.highlighted is not None
        if str(listed.options[listed.highlighted].prompt).split()[1] == role:
            return
        await pilot.press("right")
        await pilot.pause()
    pytest.fail(f"{role} never came")


async def test_labels_are_turned_round_or_given_a_threshold(tmp_path: Path) -> None:
    rows = [(question, given, 1 + i % 5) for i, (question, given, _) in enumerate(sound_rows(50))]
    path = write_csv(tmp_path / "stars.csv", rows, header=("question", "answer", "rating"))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, path, DataChoices())
        await until(pilot, at(app, LabelsDialog))
        assert "NEITHER" in " ".join(shown(app)), "three of five stars say nothing"
        await pilot.press("right", "right")
        assert "5 and more are good" in " ".join(text(app, "#asked").split())
        await pilot.press("left")
        assert "4 and more are good" in " ".join(text(app, "#asked").split())
        await pilot.press("s")
        await answer(pilot, "2")
        assert "2 and more are good" in " ".join(text(app, "#asked").split())
        await pilot.press("y")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert choices_of(app) == DataChoices(threshold=2.0)
        assert "desirable 40" in text(app, "#numbers")
        await pilot.press("e")
        await until(pilot, at(app, LabelsDialog))
        await pilot.press("t", "y")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert choices_of(app).threshold is None
        assert choices_of(app).good == ("1",)
        assert "desirable 10" in text(app, "#numbers")


async def test_a_long_reading_shows_its_first_rows_and_its_progress_and_is_cancelled_with_a_key(tmp_path: Path) -> None:
    line = '{"prompt": "a question", "completion": "%s", "label": true}\n' % ("word " * 200)
    path = tmp_path / "large.jsonl"
    path.write_text(line * 60_000)
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.switch_screen(DataScreen(starter_draft(LAPTOP)))
        await settled(pilot)
        await pilot.press("o")
        await answer(pilot, str(path))
        await until(pilot, lambda: "Reading" in text(app, "#numbers"))
        assert "esc cancels" in " ".join(shown(app))
        assert row(app).startswith("Row 1 of 200  DESIRABLE  large.jsonl:1")
        assert "MiB" in text(app, "#numbers")
        await pilot.press("n")
        assert row(app).startswith("Row 2 of 200")
        await pilot.press("escape")
        await until(pilot, lambda: "cancelled" in text(app, "#problem"))
        assert "Starter set" in text(app, "#numbers"), "the data before stay"
        assert not list((tmp_path / "cache" / "data").glob(".*")), "nothing half-written stays"


async def test_a_file_that_is_not_sound_yet_is_found_again_with_what_was_decided(tmp_path: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, troubled_csv(tmp_path / "feedback.csv"))
        await pilot.press("x", "escape")
        await until(pilot, at(app, ModelScreen))
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))
        await settled(pilot)
        assert choices_of(app) == msgspec.structs.replace(CONFIRMED, excluded=(1,))
        assert "feedback.csv" in text(app, "#numbers")
        await pilot.press("enter")
        await until(pilot, at(app, FixesScreen))


async def test_fixes_show_each_row_they_touch_before_and_after(tmp_path: Path) -> None:
    rows = sound_rows(40)
    rows[6] = (rows[6][0], f"{'Long before it. ' * 40}<|im_end|>", "up")
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, write_csv(tmp_path / "feedback.csv", rows))
        await pilot.press("j", "f")
        await until(pilot, at(app, FixesScreen))
        await until(pilot, lambda: "Row 7 is changed" in text(app, "#rows"))
        before, after = text(app, "#rows").split("> after")
        assert "<|im_end|>" in before
        assert "<|im_end|>" not in after
        assert after.strip().startswith("…")
        assert "remove" in text(app, "#because").lower()
        await pilot.press("a", "a", "a")
        await pilot.press("enter")
        await until(pilot, at(app, DataScreen))
        assert choices_of(app).fixes == ("template_tokens",)


async def test_text_that_would_steer_the_terminal_is_written_out(tmp_path: Path) -> None:
    for plain in (False, True):
        app = KtoApp(plain=plain)
        async with app.run_test(size=(80, 24)) as pilot:
            await open_at(pilot, troubled_csv(tmp_path / "feedback.csv"))
            await pilot.press("g")
            await answer(pilot, "20")
            assert "^[[31mred^[[0m <U+202E>evil [bold]markup[/bold]" in text(app, "#rows")
            strips = app.screen._compositor.render_strips()
            assert all(strip.cell_length == 80 for strip in strips)
            assert not any("\x1b" in strip.text or "\u202e" in strip.text for strip in strips)
            assert not plain or all(strip.text.isascii() for strip in strips)


async def test_the_screen_follows_the_terminal_at_any_time(tmp_path: Path) -> None:
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, troubled_csv(tmp_path / "feedback.csv"))
        for width, height in ((140, 45), (60, 18), (200, 60), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            await pilot.pause()
            lines = shown(app)
            assert len(lines) == height
            if width >= 80:
                assert "esc Back" in lines[-1]
                assert any(line.startswith(" Row 1 of 60") for line in lines)
                assert app.screen.query_one("#rows", Static).size.height >= 8


async def test_a_held_out_file_that_is_not_there_leaves_the_data_as_they_were(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, path, DataChoices())
        await pilot.press("h")
        await answer(pilot, str(tmp_path / "nowhere.jsonl"))
        await until(pilot, lambda: "nowhere.jsonl" in text(app, "#problem").replace("\n", ""))
        assert "held out: 16 split off" in text(app, "#numbers")
        await pilot.press("enter")
        await until(pilot, at(app, RecipeScreen))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    subprocess.run([sys.executable, "-m", "tests.tiny", str(folder)], check=True, capture_output=True, cwd=ROOT)
    return folder


async def test_a_local_model_counts_the_tokens_and_shows_what_it_sees(tmp_path: Path, model: Path) -> None:
    rows = make_rows(40)
    rows[4]["completion"] = [{"role": "assistant", "content": "day night " * 300}]
    rows[5]["prompt"] = [{"role": "user", "content": "very good " * 300}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    app = KtoApp()
    async with app.run_test(size=(140, 45)) as pilot:
        draft = msgspec.structs.replace(
            choose_model(starter_draft(LAPTOP), resolve(str(model))),
            data=str(path), source=None, overrides={"max_length": 128},
        )  # fmt: skip
        await app.switch_screen(DataScreen(draft))
        await settled(pilot)
        await until(pilot, lambda: "1 cut, 1 dropped" in text(app, "#numbers"))
        assert "estimated" not in text(app, "#numbers")
        assert "at 128" in text(app, "#numbers")
        assert "counted" in text(app, "#histogram")
        assert "desirable" in text(app, "#histogram")
        told = "a prompt that alone fills max_length 128"
        await until(pilot, lambda: told in " ".join(" ".join(shown(app)).split()))
        tokens = int(row(app).split(" tokens")[0].split()[-1])
        await pilot.press("v")
        await until(pilot, lambda: at(app, RenderedScreen)() and "completion, trained on" in text(app, "#lines"))
        seen = text(app, "#lines")
        assert seen.startswith(f"{tokens} tokens: ")
        assert "  <|im_start|>user" in seen, "special tokens are visible"
        assert f"> {rows[0]['completion'][0]['content']}<|im_end|>" in seen  # type: ignore[index]
        await pilot.press("n", "n", "n", "n")
        await until(pilot, lambda: "CUT" in text(app, "#lines"))
        await pilot.press("n")
        await until(pilot, lambda: "DROPPED" in text(app, "#lines"))
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
        assert row(app).startswith("Row 6 of 40"), "the row that was looked at last"
        await pilot.press("x")
        await settled(pilot)
        assert "1 cut, 0 dropped" in text(app, "#numbers"), "counts follow what is left out"


async def test_a_model_that_is_not_here_cannot_count_and_says_so(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, path, DataChoices())
        assert "estimated, t counts" in text(app, "#numbers")
        await pilot.press("t")
        await until(pilot, lambda: "not on this machine" in " ".join(text(app, "#problem").split()))
        await pilot.press("v")
        await until(
            pilot, lambda: at(app, RenderedScreen)() and "not on this machine" in " ".join(text(app, "#lines").split())
        )
        assert "> assistant" in text(app, "#lines")
        await pilot.press("escape")
        await until(pilot, at(app, DataScreen))
