"""The shipped data sets keep what their descriptions promise."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kto_tui.data.behaviour import read_behaviour, shows
from kto_tui.data.sources import starter_folder

Record = dict[str, Any]
STARTER = starter_folder()
SETS = sorted(folder.name for folder in STARTER.parent.iterdir())
# (training rows, their questions, held-out rows) at least
ENOUGH = {"direct-answers": (480, 200, 80), "bulleted-steps": (200, 100, 40)}
PARTS = [(name, part) for name in SETS for part in ("train", "heldout")]
each_part = pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{name}-{part}" for name, part in PARTS])
each_set = pytest.mark.parametrize("name", SETS)


@functools.cache
def load(name: str, part: str) -> list[Record]:
    text = (STARTER.parent / name / f"{part}.jsonl").read_text(encoding="ascii")
    return [json.loads(line) for line in text.splitlines()]


BEHAVIOUR = read_behaviour(STARTER / "behaviour.toml")


def question(record: Record) -> str:
    return str(record["prompt"][0]["content"])


def answer(record: Record) -> str:
    return str(record["completion"][0]["content"])


def folded(text: str) -> str:
    return " ".join(text.lower().split())


def questions(name: str, part: str) -> set[str]:
    return {folded(question(record)) for record in load(name, part)}


@each_set
def test_there_is_enough_of_it(name: str) -> None:
    rows, different, heldout = ENOUGH[name]
    assert len(load(name, "train")) >= rows
    assert len(questions(name, "train")) >= different
    assert len(load(name, "heldout")) >= heldout


@each_set
def test_heldout_questions_are_others(name: str) -> None:
    assert not questions(name, "train") & questions(name, "heldout")


def test_behaviour_prompts_are_not_trained_on() -> None:
    prompts = [folded(prompt.text) for prompt in BEHAVIOUR.prompts]
    assert len(set(prompts)) == len(prompts) >= 4
    assert not questions(STARTER.name, "train") & set(prompts)


@each_part
def test_labels_are_balanced(name: str, part: str) -> None:
    rows = load(name, part)
    assert abs(sum(record["label"] for record in rows) / len(rows) - 0.5) <= 0.02


@each_set
def test_no_row_occurs_twice(name: str) -> None:
    every = load(name, "train") + load(name, "heldout")
    assert len({(folded(question(record)), folded(answer(record))) for record in every}) == len(every)
    assert len({folded(answer(record)) for record in every}) == len(every)


@each_part
def test_trl_conversational_format(name: str, part: str) -> None:
    for record in load(name, part):
        assert set(record) == {"prompt", "completion", "label"}
        assert isinstance(record["label"], bool)
        assert [turn["role"] for turn in record["prompt"]] == ["user"]
        assert [turn["role"] for turn in record["completion"]] == ["assistant"]
        for turn in record["prompt"] + record["completion"]:
            assert set(turn) == {"role", "content"}
            assert turn["content"] == turn["content"].strip() != ""


@pytest.mark.parametrize("path", sorted(STARTER.parent.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_ascii_only(path: Path) -> None:
    assert path.read_bytes().isascii()
    assert b"\r" not in path.read_bytes()


def best_threshold(lengths: list[int], labels: list[bool]) -> float:
    """Accuracy of the best rule "longer than so much is desirable", or the other way round."""
    pairs = list(zip(lengths, labels, strict=True))
    hits = [sum((length > border) == label for length, label in pairs) for border in {-1, *lengths}]
    return max(*hits, len(pairs) - min(hits)) / len(pairs)


def test_the_threshold_rule_finds_a_length_that_tells() -> None:
    assert best_threshold([1, 2, 3, 4], [True, True, False, False]) == 1
    assert best_threshold([1, 2, 3, 4], [False, False, True, True]) == 1
    assert best_threshold([1, 1, 1, 1], [False, False, True, True]) == 0.5


@each_part
@pytest.mark.parametrize("measure", [len, lambda text: len(text.split())], ids=["characters", "words"])
def test_length_alone_does_not_tell_the_label(name: str, part: str, measure: Callable[[str], int]) -> None:
    rows = load(name, part)
    lengths = [measure(answer(record)) for record in rows]
    assert best_threshold(lengths, [record["label"] for record in rows]) <= 0.70


def test_desirable_answers_show_the_behaviour() -> None:
    rows = load(STARTER.name, "train")
    share = {
        label: sum(shows(BEHAVIOUR, answer(record), finished=True) for record in rows if record["label"] is label)
        / sum(record["label"] is label for record in rows)
        for label in (True, False)
    }
    assert share[True] >= 0.95
    assert share[False] < share[True]


def test_desirable_bulleted_answers_are_lists_and_nothing_else() -> None:
    for record in load("bulleted-steps", "train"):
        bulleted = [line.startswith("- ") for line in answer(record).splitlines()]
        assert all(bulleted) if record["label"] else not any(bulleted)
        assert 2 <= len(bulleted) <= 5 or not record["label"]
