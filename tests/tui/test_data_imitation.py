"""SFT on the Data screen: rows without a label as good answers, thumbs-down rows said to be left out."""

from pathlib import Path

from kto_tui.choices import DataChoices
from kto_tui.draft import Draft, plan, to_config
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.columns import ColumnsScreen
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.review import ReviewScreen
from tests.tiny import make_rows, write_jsonl
from tests.tui.test_another_machine import shown
from tests.tui.test_data_screen import choices_of, open_at, screen_of, settled
from tests.tui.test_recipe_screen import highlight
from tests.tui.test_wizard import text, until

NONE = DataChoices()


def draft_of(app: KtoApp) -> Draft:
    return screen_of(app)._draft


async def test_a_file_without_labels_is_imitated_from_the_columns_on(tmp_path: Path) -> None:
    rows = [{name: row[name] for name in ("prompt", "completion")} for row in make_rows(40)]
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, write_jsonl(tmp_path / "demonstrations.jsonl", rows), choices=NONE)
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        assert "no column says which answers are good" in text(app, "#because")
        await pilot.press("enter")
        assert "Not yet" in text(app, "#problem")
        assert "u No labels" in text(app, "#keys")
        await pilot.press("u")
        assert "no column says" not in text(app, "#because")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DataScreen))
        await settled(pilot)
        assert choices_of(app).unlabelled == "good"
        draft = draft_of(app)
        assert (draft.method, draft.rows, draft.heldout_rows, draft.training_rows) == ("sft", 40, 16, 24)
        assert "SFT on 40 good rows; each of them is imitated" in text(app, "#numbers")
        assert to_config(draft).recipe.method == "sft"
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        assert (draft_of(app).method, choices_of(app).unlabelled) == ("kto", "refuse")


async def test_what_sft_leaves_out_is_said_on_every_screen(tmp_path: Path) -> None:
    rows = [row | {"label": i % 4 > 0} for i, row in enumerate(make_rows(60))]
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, write_jsonl(tmp_path / "rows.jsonl", rows), choices=NONE)
        assert draft_of(app).training_rows == 44
        await pilot.press("u")
        await settled(pilot)
        numbers = " ".join(text(app, "#numbers").split())
        assert "SFT on 45 good rows; 15 thumbs-down rows are not trained on" in numbers
        assert "held out: 16 split off" in numbers
        assert any("60, 45 used" in line for line in shown(app))
        assert any("15 rows are labelled bad and not trained on" in line for line in shown(app))
        assert any("UNDESIRABLE" in line and "NOT TRAINED ON by SFT" in line for line in shown(app))
        draft = draft_of(app)
        assert (draft.training_rows, plan(draft).recipe.method) == (29, "sft")
        await app.switch_screen(ReviewScreen(draft))
        await pilot.pause()
        sentence = " ".join(text(app, "#sentence").split())
        assert "with SFT on 29 rows" in sentence
        assert "15 thumbs-down rows are not trained on: SFT imitates the good answers." in sentence


async def test_data_of_one_label_cannot_be_taken_back_to_kto(tmp_path: Path) -> None:
    rows = [row | {"label": True} for row in make_rows(40)]
    app = KtoApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_at(pilot, write_jsonl(tmp_path / "rows.jsonl", rows), choices=NONE)
        await pilot.press("enter")
        problem = " ".join(text(app, "#problem").split())
        assert "All 40 rows are labelled true; KTO needs both" in problem
        assert problem.endswith("Press u for SFT.")
        await pilot.press("u")
        await settled(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RecipeScreen))
        highlight(app, "method")
        await pilot.press("right")
        await pilot.pause()
        assert "KTO needs both thumbs up and thumbs down" in text(app, "#problem")
        screen = app.screen
        assert isinstance(screen, RecipeScreen)
        assert screen._plan.recipe.method == "sft"
