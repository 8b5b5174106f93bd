"""Near duplicates."""

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.checks.near import VALUES, near_duplicates, sketch
from kto_tui.data.shapes.form import RawRow
from tests.data.checks.feedback import FILE, chat, row, seen, texts

WORDS = tuple("".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=6)) for i in range(400))


def words(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def numbers(rows: list[RawRow]) -> list[int]:
    return near_duplicates(seen(rows))


ANSWER, QUESTION = words(1), words(2, 20)
FIRST = row(ANSWER, prompt=QUESTION)


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        (QUESTION, ANSWER + " yes"),
        (QUESTION.upper(), ANSWER),
        (f"  {QUESTION}\n", ANSWER.replace(" ", "  ")),
        (QUESTION, ANSWER.replace(ANSWER.split()[30], "other")),
        (QUESTION + "!", ANSWER + "?"),
    ],
)
def test_near_duplicates(prompt: str, completion: str) -> None:
    assert numbers([FIRST, row("Sound."), row(completion, prompt=prompt)]) == [3]
    assert numbers([row(completion, prompt=prompt), FIRST]) == [2]


@pytest.mark.parametrize(
    "other",
    [
        row(ANSWER, prompt=words(3, 20)),  # the same answer to another question
        row(words(4), prompt=QUESTION),  # another answer to the same question
        row(ANSWER + " not", prompt=QUESTION, label=False),  # a small change that turns a good answer bad
        row(ANSWER + " not", prompt=QUESTION, label=None),
        row(words(1, 30), prompt=QUESTION),  # half of it
        FIRST,  # a copy is an exact duplicate
    ],
)
def test_rows_that_are_not(other: RawRow) -> None:
    assert numbers([FIRST, other]) == []


def test_short_texts_must_be_the_same_but_for_case_and_spaces() -> None:
    assert (
        numbers([row("Yes.", prompt="Is it 12?"), row("Yes.", prompt="Is it 13?"), row("No.", prompt="Is it 12?")])
        == []
    )
    assert (
        numbers([chat("149", "How much is 12 times 12 plus 5?"), chat("150", "How much is 12 times 12 plus 6?")]) == []
    )
    assert numbers([row("yes.", prompt="Is it 12?"), row("Yes. ", prompt="is it  12?")]) == [2]
    assert numbers([]) == numbers([FIRST]) == []


def test_groups_keep_their_first_row() -> None:
    near = [row(f"{ANSWER} {i}", prompt=QUESTION) for i in range(5)]
    other = [row(f"{words(9)} {i}", prompt=QUESTION) for i in range(3)]
    assert numbers([*near, FIRST, *other]) == [2, 3, 4, 5, 6, 8, 9]


def test_copies_are_near_only_where_something_else_is() -> None:
    near = row(ANSWER + " yes", prompt=QUESTION)
    assert numbers([FIRST, near, near]) == [2, 3]
    assert numbers([FIRST, FIRST, near]) == [2, 3]
    assert numbers([FIRST, near, FIRST]) == [2, 3]
    assert numbers([FIRST, FIRST, FIRST]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=8), st.randoms())
def test_what_is_left_repeats_nothing_and_the_order_does_not_matter(
    parts: list[tuple[int, int, bool]], draw: random.Random
) -> None:
    rows = [row(f"{words(seed)} {end}", prompt=QUESTION, label=label) for seed, end, label in parts]
    found = numbers(rows)
    assert numbers([raw for i, raw in enumerate(rows, start=1) if i not in found]) == []
    groups = defaultdict(list)
    for number, (seed, end, label) in enumerate(parts, start=1):
        groups[seed, label].append((number, end))
    near = [group for group in groups.values() if len({end for _, end in group}) > 1]
    assert found == sorted(number for group in near for number, _ in group[1:])
    assert len(numbers(draw.sample(rows, len(rows)))) == len(found)


def runs(text: str) -> set[bytes]:
    data = text.encode()
    return {data[i : i + 8] for i in range(len(data) - 7)}


@pytest.mark.parametrize("changed", [0.0, 0.05, 0.2, 0.6, 1.0])
def test_sketches_estimate_what_texts_have_in_common(changed: float) -> None:
    errors = []
    for seed in range(30):
        draw = random.Random(seed)
        one = words(seed, 80)
        other = " ".join(draw.choice(WORDS) if draw.random() < changed else word for word in one.split())
        common = len(runs(one) & runs(other)) / len(runs(one) | runs(other))
        agree = (np.frombuffer(sketch(one), np.uint8) == np.frombuffer(sketch(other), np.uint8)).mean()
        errors.append(agree - common)
    assert abs(np.mean(errors)) < 0.03
    assert np.abs(errors).max() < 4 * np.sqrt(0.25 / VALUES)


@given(st.text(max_size=40))
def test_every_text_has_a_sketch_that_heeds_no_case_and_no_spaces(text: str) -> None:
    assert len(sketch(text)) == VALUES
    assert sketch(text) == sketch(f"\n {text.casefold()}\t")


def test_the_finding() -> None:
    found = texts([FIRST, row("Sound.", prompt="Is it?"), *[row(f"{ANSWER} {i}", prompt=QUESTION) for i in range(7)]])
    assert list(found) == ["near_duplicates"]
    finding = found["near_duplicates"]
    assert finding.title.startswith("7 rows nearly repeat earlier ones (same label, ")
    assert finding.rows == (3, 4, 5, 6, 7, 8, 9)
    assert finding.places == tuple(f"{FILE}:{i}" for i in range(3, 8))
