"""The rule that says whether an answer shows a behaviour."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.behaviour import Behaviour, FixedPrompt, mean_words, read_behaviour, shows
from kto_tui.data.sources import starter_folder

RULE = Behaviour("answer first", 2, ("great question", "as an? (ai|model)"), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", True),
        ("Yes", True),
        ("  Yes, it is.\n", True),
        ("Yes. It is.", True),
        ("Yes. It is. Really.", False),
        ("Yes! It is? Really.\nSo.", False),
        ("It is 3.5 m by 2.5 m by 1.5 m.", True),
        ("See kto.py and trl.readthedocs.io for more.", True),
        ("Great question! Yes.", False),
        ("  GREAT QUESTION", False),
        ("As an AI, yes.", False),
        ("As a model of bread, it works.", False),
        ("That is a great question.", True),
        ("", False),
        (" \n\t ", False),
    ],
)
def test_the_rule(text: str, expected: bool) -> None:
    assert shows(RULE, text, finished=True) is expected


@given(st.text())
def test_an_answer_that_did_not_end_does_not_show_it(text: str) -> None:
    assert not shows(RULE, text, finished=False)


@given(st.text(), st.integers(0, 5))
def test_a_stricter_rule_never_shows_more(text: str, limit: int) -> None:
    loose = Behaviour("", limit + 1, (), ())
    for strict in (Behaviour("", limit, (), ()), Behaviour("", limit + 1, ("y",), ())):
        assert shows(loose, text, finished=True) >= shows(strict, text, finished=True)


@given(st.integers(1, 6), st.integers(0, 6))
def test_sentences_are_counted(sentences: int, limit: int) -> None:
    text = " ".join(["So it goes."] * sentences)
    assert shows(Behaviour("", limit, (), ()), text, finished=True) == (sentences <= limit)


def test_the_first_word_counts() -> None:
    assert shows(RULE, "No, it melts.", finished=True, first="yes|no")
    assert not shows(RULE, "It melts, so no.", finished=True, first="yes|no")


def test_mean_words() -> None:
    assert mean_words([]) is None
    assert mean_words([""]) == 0
    assert mean_words(["one two", "  three\nfour  five six "]) == 3


def test_a_rule_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "behaviour.toml"
    file.write_text('title = "t"\nmax_sentences = 1\nopenings = ["a|b"]\nprompts = [{text = "p", first = "yes"}]\n')
    assert read_behaviour(file) == Behaviour("t", 1, ("a|b",), (FixedPrompt("p", "yes"),))


def test_the_shipped_rule() -> None:
    rule = read_behaviour(starter_folder() / "behaviour.toml")
    assert rule.title
    assert rule.max_sentences >= 1
    assert shows(rule, "Yes, for up to three months.", finished=True)
    for opening in ("That is a good one. Yes.", "Great question! Yes.", "I'm an AI.", "It depends.", "There are many."):
        assert not shows(rule, opening, finished=True)
