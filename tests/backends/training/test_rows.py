"""Rows of a file on their way to a training: lazily, with whatever is wrong named by the file."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.base import Job
from kto_tui.backends.training.model_files import context_of
from kto_tui.backends.training.rewards import HeldoutRewards
from kto_tui.backends.training.rows import SAMPLE_PROMPTS, PreparedRows, prepare_rows
from kto_tui.backends.training.tokenizer import load_tokenizer
from kto_tui.data.prepare import PreparedRow, Rows, Windows
from kto_tui.data.sources import open_source
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, DataPrepared, Noted
from kto_tui.runs.folder import RunFolder
from tests.tiny import CHAT_TEMPLATE, make_rows, make_tokenizer, write_jsonl

REFUSES = "{% if 'no' in messages[0].content.split() %}{{ raise_exception('No such thing') }}{% endif %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return load_tokenizer(make_tokenizer(tmp_path_factory.mktemp("model")))


def prepared(
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    rows: list[dict[str, object]],
    context: int | None = None,
    **recipe: Any,
) -> tuple[PreparedRows, list[AnyEvent]]:
    path = write_jsonl(folder / "rows.jsonl", rows)
    values = Recipe(**{"effective_batch": 4, "max_length": 64, **recipe})
    events: list[AnyEvent] = []
    config = RunConfig(model="tiny", data=str(path), recipe=values)
    job = Job(RunFolder(folder / "run"), config, events.append, lambda: None)
    return prepare_rows(open_source(str(path)), tokenizer, job, context=context), events


def test_what_is_trained_on_stays_on_disk(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    rows, events = prepared(tokenizer, tmp_path, make_rows(80), heldout_share=0.25)
    (event,) = (event for event in events if isinstance(event, DataPrepared))
    assert isinstance(rows.windows, Windows)
    assert isinstance(rows.heldout, Rows)
    assert (event.train_rows, event.heldout_rows) == (60, 20)
    assert len(list((tmp_path / "cache" / "prepared").glob("*.tokens"))) == 2
    lines = [row.line for window in rows.windows for row in window] + [row.line for row in rows.heldout]
    assert sorted(lines) == list(range(1, 81))
    assert len(set(rows.sample_prompts)) == len(rows.sample_prompts) == SAMPLE_PROMPTS


def test_sft_trains_on_good_rows_and_says_so(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    rows, events = prepared(tokenizer, tmp_path, make_rows(81), method="sft", heldout_share=0.4)
    (event,) = (event for event in events if isinstance(event, DataPrepared))
    assert (event.train_rows, event.heldout_rows, event.desirable, event.undesirable) == (25, 16, 25, 0)
    assert [len(window) for window in rows.windows] == [4] * 6 + [1], "a row needs no other beside it"
    assert all(row.label and not row.kl_completion_ids for window in rows.windows for row in window)
    assert {row.label for row in rows.heldout} == {True}
    said = [event.text for event in events if isinstance(event, Noted)]
    assert said == ["40 thumbs-down rows are not trained on: SFT imitates the good answers"]
    with pytest.raises(UserError, match="SFT imitates rows labelled true"):
        prepared(tokenizer, tmp_path, [row | {"label": False} for row in make_rows(8)], method="sft")
    with pytest.raises(UserError, match="KTO needs both"):
        prepared(tokenizer, tmp_path, [row | {"label": True} for row in make_rows(8)])


def test_equal_windows_have_the_same_fingerprint_and_others_another(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    found = [
        prepared(tokenizer, tmp_path, make_rows(40, seed=seed), seed=order)[0].fingerprint
        for seed, order in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_rows_beyond_the_model_s_context_are_told(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    def notes(context: int | None, **recipe: Any) -> list[str]:
        _, events = prepared(tokenizer, tmp_path, made, context=context, heldout_share=0.0, **recipe)
        return [event.text for event in events if isinstance(event, Noted) and "context" in event.text]

    made = make_rows(40)
    windows = prepared(tokenizer, tmp_path, made, heldout_share=0.0)[0].windows
    lengths = sorted(row.length for window in windows for row in window)
    longest = lengths[-1]
    (note,) = notes(longest - 1)
    assert note.startswith(f"{lengths.count(longest)} of 40 rows are longer than the model's context of {longest - 1} ")
    assert f"up to {longest};" in note
    assert f"max_length to {longest - 1}" in note
    assert notes(longest) == notes(None) == []
    assert notes(longest - 1, max_length=longest - 1) == [], "they are cut there"


def test_the_context_is_that_of_the_text_model(tmp_path: Path) -> None:
    assert context_of(tmp_path) is None
    text = {"model_type": "llama", "max_position_embeddings": 77}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": text}))
    assert context_of(tmp_path) == 77


def test_a_row_that_the_template_refuses_is_named_with_its_file(tmp_path: Path) -> None:
    refusing = load_tokenizer(make_tokenizer(tmp_path / "model", chat_template=REFUSES + CHAT_TEMPLATE))
    rows = make_rows(40)
    first = next(n for n, row in enumerate(rows, 1) if "no" in row["prompt"][0]["content"].split())  # type: ignore[index]
    with pytest.raises(UserError, match=f"rows.jsonl, line {first}: The model's chat template refuses the row"):
        prepared(refusing, tmp_path, rows, heldout_share=0.0)


def test_chat_rows_without_a_chat_template_are_refused(tmp_path: Path) -> None:
    plain = load_tokenizer(make_tokenizer(tmp_path / "model", chat_template=None))
    with pytest.raises(UserError, match=r"^tiny: .*no chat template"):
        prepared(plain, tmp_path, make_rows(40))
    assert prepared(plain, tmp_path, make_rows(40, chat=False))[0].windows


def test_rewards_are_those_of_the_heldout_rows_in_order_of_length(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    rows, _ = prepared(tokenizer, tmp_path, make_rows(80), heldout_share=0.25)

    asked: list[PreparedRow] = []

    def score(pack: Sequence[PreparedRow]) -> list[float]:
        """Gives a row its line, and nothing under the reference, which is asked first."""
        asked.extend(pack)
        return [float(row.line * (len(asked) > len(rows.heldout))) for row in pack]

    scored = HeldoutRewards(score, rows.heldout, nullcontext, beta=0.5, max_rows=3)
    rewards, labels = scored.rewards()
    ordered = sorted(rows.heldout, key=lambda row: row.length)
    assert rewards.tolist() == [row.line / 2 for row in ordered]
    assert labels.tolist() == [row.label for row in ordered]
