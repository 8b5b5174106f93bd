"""The checks of labels, order and repetition."""

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.checks.facts import OTHER, Flag
from kto_tui.data.checks.finding import SHOWN_PLACES, SHOWN_ROWS
from kto_tui.data.shapes.form import RawRow
from tests.data.checks.feedback import chat, cheap, facts_of, reading_of, row

GOOD, BAD = row("Yes, it is.", prompt="Is it?"), row("No.", prompt="Is it?", label=False)


def many(good: int, bad: int, *, seed: int = 7) -> list[RawRow]:
    """Rows without any fault, mixed, all about as long."""
    labels = [True] * good + [False] * bad
    random.Random(seed).shuffle(labels)
    return [row(f"It is number {i:05}.", prompt=f"Which is it, {i}?", label=label) for i, label in enumerate(labels)]


def test_sound_rows_have_no_findings() -> None:
    assert cheap(many(60, 50), effective_batch=32) == {}
    assert cheap([]) == {}


@pytest.mark.parametrize(
    ("bad", "name", "title"),
    [
        (Flag.UNREADABLE, "unreadable", "1 record cannot be read"),
        (Flag.ROLES, "roles", "1 chat has wrong roles or no answer of the assistant"),
        (row(label=None), "missing_label", "1 row has no label"),
        (row(label="  "), "missing_label", "1 row has no label"),
        (row(label="meh"), "unparsable_label", "1 row has a label that says neither good nor bad, such as 'meh'"),
        (row(prompt=" "), "empty_prompt", "1 row has an empty prompt"),
        (chat("\n", "Why?"), "empty_completion", "1 row has an empty completion"),
    ],
)
def test_rows_that_cannot_be_trained_on(bad: RawRow | Flag, name: str, title: str) -> None:
    found = cheap([GOOD, BAD, bad])
    assert [(one.id, one.severity) for one in found.values()] == [(name, "error")]
    finding = found[name]
    assert (finding.title, finding.count, finding.rows, finding.places) == (title, 1, (3,), ("rows.jsonl:3",))
    assert finding.fix is not None
    assert finding.why


def test_titles_count_in_words() -> None:
    found = cheap([GOOD, BAD, *[row(f"{i}", label=None) for i in range(1200)]])
    assert found["missing_label"].title == "1,200 rows have no label"
    assert len(found["missing_label"].rows) == SHOWN_ROWS
    assert found["missing_label"].places == tuple(f"rows.jsonl:{i}" for i in range(3, 3 + SHOWN_PLACES))


def test_a_record_that_is_no_row_lacks_nothing_else() -> None:
    assert list(cheap([GOOD, BAD, Flag.UNREADABLE, Flag.UNREADABLE, Flag.ROLES])) == ["unreadable", "roles"]


def test_more_labels_than_are_remembered() -> None:
    rows = [GOOD, BAD, *[row(f"It is {i}.", label=f"label {i}") for i in range(1100)]]
    assert facts_of(rows).columns().code.max() == OTHER
    assert cheap(rows)["unparsable_label"].count == 1100


# One label, balance


@pytest.mark.parametrize("label", [True, False])
def test_one_label_alone(label: bool) -> None:
    found = cheap([row(f"It is {i}.", label=label) for i in range(3)])
    assert list(found) == ["one_label"]
    word = "desirable" if label else "undesirable"
    assert found["one_label"].title == f"3 rows can be trained on, and all are {word}"
    assert (found["one_label"].severity, found["one_label"].fix) == ("error", None)


def test_the_other_label_must_be_on_a_row_that_can_be_trained_on() -> None:
    assert "one_label" in cheap([GOOD, row("", label=False)])
    assert "one_label" in cheap([GOOD, BAD], DataChoices(excluded=(2,)))
    assert "one_label" not in cheap([GOOD, row("It may be.")], DataChoices(flipped=(2,)))


@pytest.mark.parametrize(("good", "bad"), [(100, 10), (10, 100), (50, 50)])
def test_balances_that_weights_mend(good: int, bad: int) -> None:
    assert "imbalance" not in cheap(many(good, bad))


def test_imbalance_beyond_what_weights_mend() -> None:
    found = cheap(many(4, 296))["imbalance"]
    assert found.title == "4 desirable rows stand against 296 undesirable"
    assert "74-fold" in found.why
    assert (found.count, found.severity) == (4, "warning")
    assert [row.label for row in many(4, 296)].index(True) + 1 == found.rows[0]
    assert cheap(many(111, 10))["imbalance"].title == "10 undesirable rows stand against 111 desirable"


@pytest.mark.parametrize(
    ("rows", "batch", "says"),
    [(20, 32, "not even one batch of 32"), (40, 32, "one batch only of 32"), (64, 32, None), (4, None, None)],
)
def test_too_few_rows(rows: int, batch: int | None, says: str | None) -> None:
    found = cheap(many(rows // 2, rows // 2), effective_batch=batch)
    assert list(found) == ([] if says is None else ["few_rows"])
    if says is not None:
        assert found["few_rows"].title == f"{rows} rows fill {says}"


# Repetition


def test_both_labels_for_the_same_answer() -> None:
    rows = [*many(5, 5), row("It is."), row("It is.", label=False), row("It is.")]
    found = cheap(rows)
    assert found["conflicting_labels"].title == "3 rows have both labels for the same answer"
    assert found["conflicting_labels"].rows == (11, 12, 13)
    assert found["exact_duplicates"].rows == (13,)


def test_copies() -> None:
    rows = [
        *many(5, 5),
        *[chat("It is.", "Is it?")] * 3,
        row("It is.", prompt="Is it?"),
        row("It is.", prompt="Was it?"),
    ]
    found = cheap(rows)
    assert list(found) == ["exact_duplicates"]
    assert found["exact_duplicates"].rows == (12, 13)
    assert found["exact_duplicates"].title == "2 rows repeat earlier ones"


def test_other_spellings_of_a_label_are_the_same_label() -> None:
    rows = [*many(5, 5), row("It is.", label="true"), row("It is.", label="True ")]
    assert list(cheap(rows)) == ["exact_duplicates"]


def test_rows_that_cannot_be_trained_on_repeat_nothing() -> None:
    rows = [*many(5, 5), row("It is."), row("It is.", label=None), row("It is.", label=None)]
    assert list(cheap(rows)) == ["missing_label"]
    assert list(cheap([*many(5, 5), Flag.UNREADABLE, Flag.UNREADABLE])) == ["unreadable"]


def test_choices_are_heard() -> None:
    rows = [*many(5, 5), row("It is."), row("It is.", label=False)]
    assert list(cheap(rows)) == ["conflicting_labels"]
    assert list(cheap(rows, DataChoices(excluded=(11, 99, 0)))) == []
    assert list(cheap(rows, DataChoices(flipped=(12,)))) == ["exact_duplicates"]


SMALL = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([True, False, None]), st.booleans()), max_size=12)


@given(SMALL)
def test_repetition_as_one_counts_it_by_hand(told: list[tuple[str, bool | None, bool]]) -> None:
    rows = [row(text if sound else "", label=label) for text, label, sound in told]
    found = cheap(rows)
    labels, copies = defaultdict(set), []
    for number, (text, label, sound) in enumerate(told, start=1):
        if sound and label is not None:
            if label in labels[text]:
                copies.append(number)
            labels[text].add(label)
    both = [
        i for i, (text, label, sound) in enumerate(told, 1) if sound and label is not None and len(labels[text]) == 2
    ]
    assert (found["exact_duplicates"].rows if copies else ()) == tuple(copies)
    assert (found["conflicting_labels"].rows if both else ()) == tuple(both)
    assert ("exact_duplicates" in found, "conflicting_labels" in found) == (bool(copies), bool(both))


def test_rows_that_are_held_out_too() -> None:
    rows = many(5, 5)
    held = [rows[2], RawRow(rows[4].prompt, "Another answer.", True), row(prompt="")]
    found = cheap(rows, heldout=facts_of(held))["heldout_overlap"]
    assert found.rows == (3, 5)
    assert found.title == "2 rows have prompts of held-out rows, 1 of them its answer too"
    assert cheap(rows, heldout=facts_of([])) == cheap(rows, heldout=facts_of([row(prompt="Who?")])) == {}


# Length, order


def lengths(good: list[int], bad: list[int]) -> list[RawRow]:
    rows = [
        row(f"{i:06}".ljust(n, "x"), label=label)
        for label, ns in ((True, good), (False, bad))
        for i, n in enumerate(ns)
    ]
    random.Random(3).shuffle(rows)
    return rows


def test_length_foretells_the_label() -> None:
    found = cheap(lengths([100 + i for i in range(40)], [200 + i for i in range(40)]))["length_predicts_label"]
    assert found.title == "Length alone tells 100% of the labels (chance: 50%): up to 139 characters is desirable"
    assert "shorter" in found.why
    found = cheap(lengths([300] * 30 + [10] * 10, [100] * 40))["length_predicts_label"]
    assert found.title == "Length alone tells 88% of the labels (chance: 50%): over 100 characters is desirable"


@pytest.mark.parametrize("seed", range(5))
def test_length_does_not(seed: int) -> None:
    draw = random.Random(seed)
    one, other = ([draw.randint(10, 400) for _ in range(60)] for _ in range(2))
    assert "length_predicts_label" not in cheap(lengths(one, other))
    assert "length_predicts_label" not in cheap(lengths([9 + i for i in range(19)], [90 + i for i in range(60)]))
    assert "length_predicts_label" not in cheap(lengths([100] * 50, [100] * 50))


def sorted_rows(labels: str) -> list[RawRow]:
    return [row(f"It is number {i:05}.", label=label == "+") for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "blocks"),
    [("+" * 50 + "-" * 50, 2), ("-" * 20 + "+" * 20 + "-" * 20, 3), (("+" * 10 + "-" * 10) * 5, 10)],
)
def test_sorted_labels(labels: str, blocks: int) -> None:
    found = cheap(sorted_rows(labels))["sorted_labels"]
    assert (found.count, found.severity) == (blocks, "hint")
    assert found.title.startswith(f"Labels come in {blocks} blocks; a mixed order would have about ")
    assert "shuffles" in found.why


@pytest.mark.parametrize("labels", ["+-" * 50, "++--" * 25, "++-", "+" * 60 + "-", "+++---"])
def test_labels_that_are_not_sorted(labels: str) -> None:
    assert "sorted_labels" not in cheap(sorted_rows(labels))


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_labels_are_not_sorted(seed: int) -> None:
    labels = ["+"] * 150 + ["-"] * 70
    random.Random(seed).shuffle(labels)
    assert "sorted_labels" not in cheap(sorted_rows("".join(labels)))


# Whatever the rows are

ANY = st.lists(
    st.builds(
        RawRow,
        st.sampled_from(["", "Why?", "Which of the two is it, please?"]),
        st.sampled_from(["", "Because.", "Which of the two is it, please? That.", "x" * 300]),
        st.sampled_from([True, False, None, "meh"]),
    )
    | st.sampled_from([Flag.UNREADABLE, Flag.ROLES]),
    max_size=40,
)


@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_count(rows: list[RawRow | Flag], draw: random.Random) -> None:
    shuffled = draw.sample(rows, len(rows))
    one, other = (
        {one.id: one.count for one in cheap(some, effective_batch=8).values() if one.id != "sorted_labels"}
        for some in (rows, shuffled)
    )
    assert one == other


@given(ANY)
def test_findings_can_be_shown(rows: list[RawRow | Flag]) -> None:
    for finding in cheap(rows, effective_batch=8).values():
        assert finding.count >= 1
        assert len(finding.rows) <= len(rows)
        assert list(finding.rows) == sorted(set(finding.rows))
        assert finding.places == tuple(f"rows.jsonl:{number}" for number in finding.rows[:SHOWN_PLACES])
        assert not finding.title.endswith(".")
        assert not finding.why.endswith(".")
        assert not f" {finding.title}".count(" 1 rows")


@pytest.mark.parametrize("rows", [many(3, 3), [*many(3, 3), GOOD, GOOD, BAD]])
def test_a_reading_that_knows_no_label_is_one_finding(rows: list[RawRow]) -> None:
    strange = [RawRow(one.prompt, one.completion, "alpha" if one.label else "beta") for one in rows]
    assert reading_of(strange).labels == {}
    assert list(cheap(strange)) == ["unparsable_label"]
