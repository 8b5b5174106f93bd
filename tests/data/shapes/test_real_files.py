"""The two real files, counted here by hand: rows, labels, prompts and answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from kto_tui.data.rows import text_of
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import RawRow
from kto_tui.data.shapes.recognise import recognise

FOLDER = next(
    (here / "shared" / "data" for here in Path(__file__).parents if (here / "shared" / "data").is_dir()), None
)


def records(name: str) -> list[dict[str, Any]]:
    if FOLDER is None or not (FOLDER / name).is_file():
        pytest.skip(f"{name} does not lie beside the project")
    found: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def read(found: list[dict[str, Any]], shape: str) -> list[RawRow]:
    form = recognise(found[:100])[0]
    assert (form.shape, form.confidence) == (shape, 1.0)
    convert = converter(form)
    return [row for record in found for row in convert(record)]


def test_300_chats_with_a_label() -> None:
    found = records("kto_en_demo.json")
    rows = read(found, "openai")
    text = (FOLDER / "kto_en_demo.json").read_text(encoding="utf-8") if FOLDER else ""
    assert text.count('"label": true') == text.count('"label": false') == 150
    assert [row.label for row in rows] == [record["label"] for record in found]
    assert len(rows) == text.count('"messages": [') == 300
    assert [text_of(row.completion) for row in rows] == [
        f"assistant: {record['messages'][-1]['content']}" for record in found
    ]
    assert [len(row.prompt) for row in rows] == [len(record["messages"]) - 1 for record in found]
    assert sum(len(row.prompt) + len(row.completion) for row in rows) == text.count('"role": ')


def test_300_pairs_are_600_rows() -> None:
    found = records("dpo_en_demo.json")
    rows = read(found, "sharegpt-paired")
    text = (FOLDER / "dpo_en_demo.json").read_text(encoding="utf-8") if FOLDER else ""
    assert text.count('"chosen": {') == text.count('"rejected": {') == 300
    assert [row.label for row in rows] == [True, False] * 300
    assert all(good.prompt == bad.prompt for good, bad in zip(rows[::2], rows[1::2], strict=True))
    assert [text_of(row.completion) for row in rows] == [
        f"assistant: {record[side]['value']}" for record in found for side in ("chosen", "rejected")
    ]
    # Every turn of the file is in a prompt or an answer, those of the prompts twice.
    turns = sum(len(row.prompt) for row in rows[::2]) + sum(len(row.completion) for row in rows)
    assert turns == text.count('"from": ')
    assert (
        sum(message.role == "system" for row in rows[::2] for message in row.prompt if not isinstance(message, str))
        == 80
    )
