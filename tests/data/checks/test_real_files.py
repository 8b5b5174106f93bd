"""What the checks say about real feedback and about the shipped sets; every hit was judged by reading it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kto_tui.data.checks.finding import Finding
from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RawRow
from kto_tui.paths import presets
from tests.data.checks.feedback import cheap, facts_of, texts

SHARED = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents]
ROLES = {"human": "user", "gpt": "assistant", "system": "system", "user": "user", "assistant": "assistant"}


def turn(message: dict[str, str]) -> Message:
    return msgspec.convert(
        {
            "role": ROLES[message.get("from") or message["role"]],
            "content": message["value"] if "value" in message else message["content"],
        },
        Message,
    )


def records(name: str) -> list[dict[str, Any]]:
    for folder in SHARED:
        if (folder / name).is_file():
            found: list[dict[str, Any]] = msgspec.json.decode((folder / name).read_bytes())
            return found
    pytest.skip(f"{name} lies beside the project and is not here")


def shipped(file: Path) -> list[RawRow]:
    found = map(msgspec.json.decode, file.read_bytes().splitlines())
    return [
        RawRow(*(tuple(map(turn, record[name])) for name in ("prompt", "completion")), record["label"])
        for record in found
    ]


def findings(rows: list[RawRow], heldout: list[RawRow] | None = None) -> dict[str, Finding]:
    held = None if heldout is None else facts_of(heldout)
    return cheap(rows, effective_batch=32, heldout=held) | texts(rows)


def counts(found: dict[str, Finding]) -> dict[str, int]:
    return {name: finding.count for name, finding in found.items()}


def test_chats() -> None:
    rows = []
    for record in records("kto_en_demo.json"):
        *before, answer = map(turn, record["messages"])
        rows.append(RawRow(tuple(before), (answer,), record["label"]))
    found = findings(rows)
    assert counts(found) == {
        "template_tokens": 1,  # an answer that goes on with <|user|> and another question
        "mojibake": 2,
        "truncated": 6,
        "privacy_email": 1,  # at example.com, as in the pairs
        "mixed_languages": 7,
    }
    assert found["template_tokens"].rows == (258,)
    assert found["mojibake"].rows == (246, 260)
    assert found["truncated"].rows == (5, 22, 25, 66, 95, 142)
    assert found["mixed_languages"].rows == (79, 83, 109, 218, 232, 254, 296)


def test_pairs() -> None:
    rows = []
    for record in records("dpo_en_demo.json"):
        prompt = tuple(map(turn, record["conversations"]))
        rows += [RawRow(prompt, (turn(record[name]),), name == "chosen") for name in ("chosen", "rejected")]
    found = findings(rows)
    assert counts(found) == {
        "exact_duplicates": 10,
        "mojibake": 2,
        "control_characters": 4,  # byte order marks between coordinates, \frac with its \f read as a form feed
        "truncated": 10,
        "privacy_email": 2,
        "mixed_languages": 4,
    }
    assert found["exact_duplicates"].rows == (315, 316, 373, 374, 461, 462, 497, 498, 551, 552)
    assert found["truncated"].rows == (15, 106, 160, 280, 343, 450, 492, 494, 532, 592)
    assert found["mixed_languages"].rows == (59, 60, 261, 365)


@pytest.mark.parametrize("name", ["direct-answers", "bulleted-steps"])
def test_shipped_sets_are_sound(name: str) -> None:
    train, heldout = (shipped(presets() / "data" / name / file) for file in ("train.jsonl", "heldout.jsonl"))
    assert findings(train, heldout) == {}
    assert findings(heldout).keys() <= {"few_rows"}
