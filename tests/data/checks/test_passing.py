"""What is seen of a row in passing."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.checks.facts import Flag
from kto_tui.data.checks.passing import flags_of, hashes_of
from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RawRow
from tests.data.checks.feedback import chat, row

CALL = Message("assistant", "", tool_calls='[{"name": "look_up", "arguments": {}}]')
QUESTION = "Why is the sky blue at noon?"


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\u3000", "\u200b", "\ufeff\xa0", "\u2060 \u00ad"])
def test_blank_texts_are_empty(blank: str) -> None:
    assert flags_of(row(prompt=blank)) == Flag.EMPTY_PROMPT
    assert flags_of(row(blank)) == Flag.EMPTY_COMPLETION
    assert flags_of(chat("Yes.", blank)) == Flag.EMPTY_PROMPT
    assert flags_of(chat(blank, "Why?")) == Flag.EMPTY_COMPLETION
    assert flags_of(row(blank, prompt=blank)) == Flag.EMPTY_PROMPT | Flag.EMPTY_COMPLETION


@pytest.mark.parametrize("text", ["0", ".", "😀", " a", "\u200bא", "\x00"])
def test_texts_that_show_something_are_not(text: str) -> None:
    assert flags_of(row(text, prompt=text)) == 0
    assert flags_of(chat(text, text)) == 0


def test_turns_decide_together_whether_a_prompt_is_empty() -> None:
    assert flags_of(chat("Yes.", " ", system="Be brief.")) == Flag.EMPTY_PROMPT
    assert flags_of(chat("Yes.", "Why?", "", "")) == 0
    assert flags_of(chat("Yes.", system="Name a colour.")) == 0
    assert flags_of(RawRow((), (), True)) == Flag.EMPTY_PROMPT | Flag.EMPTY_COMPLETION


def test_a_call_of_a_tool_is_an_answer() -> None:
    question = (Message("user", "Why?"),)
    assert flags_of(RawRow(question, (CALL,), True)) == 0
    assert flags_of(RawRow((*question, CALL, Message("tool", "blue")), (Message("assistant", "Blue."),), True)) == 0
    assert flags_of(RawRow(question, (Message("tool", "blue"),), True)) == Flag.EMPTY_COMPLETION


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        (QUESTION, f"{QUESTION} Because air scatters blue light."),
        (QUESTION, f"{QUESTION}\n\nBecause air scatters blue light."),
        (f" {QUESTION}\n", f"\n {QUESTION}Because"),
        (QUESTION, QUESTION),
        ("Summarise this article for me", "Summarise this article for me\nThe article"),
        ("It was a dark and stormy night, and the captain stood at the wheel and looked at the waves",) * 2,
        ("It was a dark and stormy night, and the captain stood at the wheel and looked at the waves",
         "It was a dark and stormy night, and the captain stood at the wheel and looked at the waves that rose"),
        ("天空为什么是蓝色的?", "天空为什么是蓝色的?因为空气散射蓝光。"),
    ],
)  # fmt: skip
def test_completions_that_repeat_the_prompt(prompt: str, completion: str) -> None:
    assert flags_of(row(completion, prompt=prompt)) == Flag.REPEATS_PROMPT
    assert flags_of(chat(completion, prompt)) == Flag.REPEATS_PROMPT
    assert flags_of(chat(completion, "Hello", "Hi", prompt, system="Be brief.")) == Flag.REPEATS_PROMPT


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Hi!", "Hi! How can I help?"),
        ("Paris", "Paris is the capital of France."),
        ("benefits of green tea", "benefits of green tea include a calm mind."),
        (QUESTION, "Because air scatters blue light."),
        (QUESTION, f'You asked "{QUESTION}", and air scatters blue light.'),
        (QUESTION, "Why is the sky blue? Because air scatters blue light."),
        ("", "Because"),
    ],
)
def test_completions_that_take_the_question_up_or_answer_it(prompt: str, completion: str) -> None:
    assert not flags_of(row(completion, prompt=prompt)) & Flag.REPEATS_PROMPT
    assert not flags_of(chat(completion, prompt)) & Flag.REPEATS_PROMPT


def test_an_earlier_question_is_not_the_prompt() -> None:
    assert flags_of(chat(f"{QUESTION} is what you asked.", QUESTION, "Because.", "What did I ask?")) == 0


# Hashes


def test_hashes_are_the_same_in_another_process_and_from_now_on() -> None:
    raw = chat("Because.", "Why?", system="Be brief.")
    code = (
        "from kto_tui.data.checks.passing import hashes_of; from tests.data.checks.feedback import chat;"
        "print(hashes_of(chat('Because.', 'Why?', system='Be brief.')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(hashes_of(raw))
    assert hashes_of(row("Because.")) == (8241665193356415438, 13636857085156005008)


def test_the_label_is_no_content_but_prompt_completion_and_tools_are() -> None:
    one = RawRow("a", "b", True)
    assert hashes_of(one) == hashes_of(RawRow("a", "b", "down"))
    others = [
        RawRow("ab", "", 1),
        RawRow("", "ab", 1),
        RawRow("a", "b", 1, "[]"),
        RawRow("a", "b[]", 1),
        chat("b", "a"),
    ]
    assert len({hashes_of(raw)[0] for raw in (one, *others)}) == 6
    assert len({hashes_of(RawRow("a", text, 1))[1] for text in "bcd"}) == 1


def test_lone_surrogates_have_hashes() -> None:
    assert hashes_of(row("\ud800")) != hashes_of(row("\udc00"))
    assert hashes_of(chat("\ud800", "a"))[1] != hashes_of(chat("\ud800", "b"))[1]


TEXT = st.text(max_size=8)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=2, max_size=9))
def test_hashes_are_64_bits_and_tell_contents_apart(parts: list[tuple[str, str, str]]) -> None:
    hashes = [hashes_of(RawRow(prompt, completion, True, tools)) for prompt, completion, tools in parts]
    assert len({content for content, _ in hashes}) == len(set(parts))
    assert len({prompt for _, prompt in hashes}) == len({prompt for prompt, _, _ in parts})
    assert all(0 <= number < 2**64 for pair in hashes for number in pair)
