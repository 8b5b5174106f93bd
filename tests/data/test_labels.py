"""Labels as people write them."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.labels import WORDS, Reading, key, read_labels


def read(*values: Any, threshold: float | None = None) -> Reading:
    return read_labels(Counter(values), threshold=threshold)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (True, False), ("TRUE", " false "), (1, 0), (1, -1), ("1", "0"), (1.0, 0.0), ("1", "-1"), ("1", "\u22121"),
        ("+1", "-1"),
        ("Up", "DOWN"), ("👍", "👎"), ("👍🏽", "👎️"), ("Yes", "no"), ("thumbs up", "thumbs down"),
        ("chosen", "rejected"), (5, 1), ("4", "2"), (4.5, 1.5),
    ],
)  # fmt: skip
def test_both_labels(good: object, bad: object) -> None:
    reading = read(good, bad)
    assert reading.label(good) is True
    assert reading.label(bad) is False
    assert reading.unknown == ()


def test_only_true_and_false_are_certain() -> None:
    assert read(True, False).certain
    assert read("True", "false", None, "").certain
    for values in ((1, 0), ("up", "down"), (5, 1), ("true", "no")):
        assert not read(*values).certain, values


def test_one_label_alone_is_read() -> None:
    assert read("down", "down").label("down") is False
    assert read(1).label(1) is True
    assert read(0).label("0") is False


def test_missing_and_unreadable_values_are_no_labels() -> None:
    reading = read("up", "down", "sideways", "sideways", None, "", "  ", float("nan"))
    assert reading.unknown == ("sideways",)
    for value in ("sideways", None, "", "  ", float("nan"), [True], {"a": 1}):
        assert reading.label(value) is None


def test_stars_without_a_threshold_leave_out_the_middle_and_say_so() -> None:
    reading = read(1, 2, 3, 4, 5)
    assert [reading.label(stars) for stars in (1, 2, 3, 4, 5)] == [False, False, None, True, True]
    assert "3 is read as neither" in reading.because
    assert reading.unknown == ("3",)


@pytest.mark.parametrize("threshold", [2, 3, 4.5])
def test_a_threshold_decides_every_number(threshold: float) -> None:
    reading = read(0, 1, 2, 3, 4, 5, 10, threshold=threshold)
    assert reading.unknown == ()
    assert all(reading.label(value) is (value >= threshold) for value in (0, 1, 2, 3, 4, 5, 10))


def test_numbers_of_no_known_scale_are_not_guessed() -> None:
    reading = read(17, 42, 99)
    assert reading.kind == "unknown"
    assert reading.label(99) is None
    assert "threshold" in reading.because


def test_words_nobody_knows_are_not_guessed() -> None:
    reading = read("alpha", "beta")
    assert (reading.kind, reading.labels, set(reading.unknown)) == ("unknown", {}, {"alpha", "beta"})


def test_polarity_can_be_turned_round() -> None:
    turned = read(1, 0).flipped()
    assert (turned.label(1), turned.label(0), turned.label("x")) == (False, True, None)


@given(st.sampled_from(WORDS), st.sampled_from([str.upper, str.title, str.lower]), st.text(" \t", max_size=3))
def test_case_and_spaces_do_not_matter(pair: tuple[str, str], spelt: Any, space: str) -> None:
    good, bad = (space + spelt(word) + space for word in pair)
    reading = read(good, bad)
    assert (reading.label(good), reading.label(bad)) == (True, False)


def test_no_word_is_both_good_and_bad() -> None:
    assert not {key(good) for good, _ in WORDS} & {key(bad) for _, bad in WORDS}


@given(st.dictionaries(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.integers(1, 9)))
def test_any_values_are_read_or_named(counts: dict[Any, int]) -> None:
    reading = read_labels(counts)
    for value in counts:
        assert (reading.label(value) is not None) != (key(value) in reading.unknown or key(value) == "")


@pytest.mark.parametrize(
    ("value", "stars"),
    [("5 stars", "5"), ("1 Star", "1"), ("4/5", "4"), ("3.5 out of 5", "3.5"), ("★★★☆☆", "3"), ("⭐⭐", "2"),
     ("4 of 5", "4 of 5")],
)  # fmt: skip
def test_stars_as_people_write_them(value: str, stars: str) -> None:
    assert key(value) == stars
