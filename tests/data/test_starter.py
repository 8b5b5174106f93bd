"""The shipped data set keeps what its description promises."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kto_tui.data.behaviour import read_behaviour, shows
from kto_tui.data.sources import starter_folder

FOLDER = starter_folder()
Record = dict[str, Any]


def load(name: str) -> list[Record]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="ascii").splitlines()]


TRAIN, HELDOUT = load("train.jsonl"), load("heldout.jsonl")
BEHAVIOUR = read_behaviour(FOLDER / "behaviour.toml")


def question(record: Record) -> str:
    return str(record["prompt"][0]["content"])


def answer(record: Record) -> str:
    return str(record["completion"][0]["content"])


def folded(text: str) -> str:
    return " ".join(text.lower().split())


QUESTIONS = {folded(question(record)) for record in TRAIN}


def test_there_is_enough_of_it() -> None:
    assert len(TRAIN) >= 480
    assert len(QUESTIONS) >= 200
    assert len(HELDOUT) >= 80


def test_heldout_questions_are_others() -> None:
    assert not QUESTIONS & {folded(question(record)) for record in HELDOUT}


def test_behaviour_prompts_are_not_trained_on() -> None:
    prompts = [folded(prompt.text) for prompt in BEHAVIOUR.prompts]
    assert len(set(prompts)) == len(prompts) >= 4
    assert not QUESTIONS & set(prompts)


@pytest.mark.parametrize("rows", [TRAIN, HELDOUT], ids=["train", "heldout"])
def test_labels_are_balanced(rows: list[Record]) -> None:
    assert abs(sum(record["label"] for record in rows) / len(rows) - 0.5) <= 0.02


def test_no_row_occurs_twice() -> None:
    every = TRAIN + HELDOUT
    assert len({(folded(question(record)), folded(answer(record))) for record in every}) == len(every)
    assert len({folded(answer(record)) for record in every}) == len(every)


@pytest.mark.parametrize("rows", [TRAIN, HELDOUT], ids=["train", "heldout"])
def test_trl_conversational_format(rows: list[Record]) -> None:
    for record in rows:
        assert set(record) == {"prompt", "completion", "label"}
        assert isinstance(record["label"], bool)
        assert [turn["role"] for turn in record["prompt"]] == ["user"]
        assert [turn["role"] for turn in record["completion"]] == ["assistant"]
        for turn in record["prompt"] + record["completion"]:
            assert set(turn) == {"role", "content"}
            assert turn["content"] == turn["content"].strip() != ""


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
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


@pytest.mark.parametrize("rows", [TRAIN, HELDOUT], ids=["train", "heldout"])
@pytest.mark.parametrize("measure", [len, lambda text: len(text.split())], ids=["characters", "words"])
def test_length_alone_does_not_tell_the_label(rows: list[Record], measure: Callable[[str], int]) -> None:
    lengths = [measure(answer(record)) for record in rows]
    assert best_threshold(lengths, [record["label"] for record in rows]) <= 0.70


def test_desirable_answers_show_the_behaviour() -> None:
    share = {
        label: sum(shows(BEHAVIOUR, answer(record), finished=True) for record in TRAIN if record["label"] is label)
        / sum(record["label"] is label for record in TRAIN)
        for label in (True, False)
    }
    assert share[True] >= 0.95
    assert share[False] < share[True]
