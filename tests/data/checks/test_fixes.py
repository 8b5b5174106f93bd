"""What accepted fixes do."""

import random
from collections.abc import Collection

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.checks.facts import Flag
from kto_tui.data.checks.fixes import FIXES, keep, left_out, mend
from kto_tui.data.checks.parts import texts as texts_of
from kto_tui.data.checks.private import PRIVATE
from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RawRow
from tests.data.checks.feedback import chat, cheap, facts_of, reading_of, row, seen, texts
from tests.data.checks.test_texts import FAULTS, PROSE

BY_FACTS = sorted(name for name, fix in FIXES.items() if fix.sees == "facts")
BY_TEXTS = sorted(name for name, fix in FIXES.items() if fix.sees == "texts")
QUESTION = "Why is the sky blue at noon?"
HELD = [row("Held out.", prompt="Who is held out?")]


def kept(rows: list[RawRow | Flag], choices: DataChoices, held: list[RawRow] = HELD) -> list[int]:
    found = keep(facts_of(rows), reading_of(rows), choices, heldout=facts_of(held))
    return [number for number, stays in enumerate(found.tolist(), start=1) if stays]


def fixed(*fixes: str) -> DataChoices:
    return DataChoices(fixes=fixes)


def mended(raw: RawRow, *fixes: str) -> RawRow:
    after = mend(raw, fixes)
    assert after is not None
    return after


ROWS: list[RawRow | Flag] = [
    row("It is."),  # 1
    Flag.UNREADABLE,
    Flag.ROLES,
    row("It is.", label=None),
    row("It is.", label="meh"),
    row("It is.", prompt=""),  # 6
    row("", label=False),
    row("It may be."),
    row("It may be.", label=False),
    row("It is not.", label=False),
    row("It is not.", label=False),  # 11
    row("It is."),
    row("I know.", prompt="Who is held out?"),
]


@pytest.mark.parametrize(
    ("fix", "gone"),
    [
        ("unreadable", [2]), ("roles", [3]), ("missing_label", [4]), ("unparsable_label", [5]), ("empty_prompt", [6]),
        ("empty_completion", [7]), ("conflicting_labels", [8, 9]), ("exact_duplicates", [11, 12]),
        ("heldout_overlap", [13]), ("truncated", []), ("mojibake", []), ("near_duplicates", []),
    ],
)  # fmt: skip
def test_what_a_fix_leaves_out(fix: str, gone: list[int]) -> None:
    assert kept(ROWS, fixed(fix)) == [number for number in range(1, 14) if number not in gone]


def test_without_fixes_all_rows_stay_but_the_excluded() -> None:
    assert kept(ROWS, DataChoices()) == list(range(1, 14))
    assert kept(ROWS, DataChoices(excluded=(1, 13, 99))) == list(range(2, 13))
    assert kept([], DataChoices(excluded=(1,))) == []


def test_all_fixes_leave_rows_that_can_be_trained_on() -> None:
    assert kept(ROWS, fixed(*FIXES)) == [1, 10]


def test_the_first_copy_that_is_left_is_kept() -> None:
    choices = DataChoices(fixes=("exact_duplicates",), excluded=(1,))
    assert kept(ROWS, choices)[-2:] == [12, 13]


def test_an_excluded_or_flipped_row_contradicts_nothing() -> None:
    assert 8 in kept(ROWS, DataChoices(fixes=("conflicting_labels",), excluded=(9,)))
    assert {8, 9} <= set(kept(ROWS, DataChoices(fixes=("conflicting_labels",), flipped=(9,))))
    assert 9 not in kept(ROWS, DataChoices(fixes=("conflicting_labels", "exact_duplicates"), flipped=(9,)))


def test_heldout_rows_that_are_not_there_overlap_with_nothing() -> None:
    found = keep(facts_of(ROWS), reading_of(ROWS), fixed("heldout_overlap"))
    assert found.all()


ANY = st.lists(
    st.builds(
        RawRow,
        st.sampled_from(["", "Why?", "Who is held out?"]),
        st.sampled_from(["", "Because.", "It is."]),
        st.sampled_from([True, False, None, "meh"]),
    )
    | st.sampled_from([Flag.UNREADABLE, Flag.ROLES]),
    max_size=20,
)


@given(ANY, st.sets(st.sampled_from(BY_FACTS)))
def test_accepting_a_fix_makes_its_finding_vanish(rows: list[RawRow | Flag], fixes: Collection[str]) -> None:
    before = set(cheap(rows, heldout=facts_of(HELD)))
    left = [rows[number - 1] for number in kept(rows, fixed(*fixes))]
    after = set(cheap(left, heldout=facts_of(HELD)))
    assert not after & set(fixes)
    # Rows that are left out bring forth nothing but what concerns all rows together.
    assert after - before <= {"one_label", "length_predicts_label", "imbalance", "sorted_labels"}


@given(ANY, st.sets(st.sampled_from(sorted(FIXES))), st.randoms())
def test_the_order_of_fixes_does_not_matter(
    rows: list[RawRow | Flag], fixes: Collection[str], draw: random.Random
) -> None:
    assert kept(rows, fixed(*draw.sample(sorted(fixes), len(fixes)))) == kept(rows, fixed(*sorted(fixes)))


# Mending texts


@pytest.mark.parametrize("name", FAULTS)
def test_mending_makes_the_finding_vanish(name: str) -> None:
    raw = chat(FAULTS[name], FAULTS[name], "Yes.", "Why?", system=FAULTS[name])
    assert list(texts([raw])) == [name]
    after = mended(raw, name)
    assert texts([after]) == {}
    assert [one for one in texts_of(after) if one in {"Yes.", "Why?"}] == ["Yes.", "Why?"]
    assert mend(raw, [other for other in FIXES if other != name]) is raw


def test_mending_leaves_all_else() -> None:
    raw = RawRow("Ask jane@acme.org", "It is.", "up", "[1]")
    assert mended(raw, "privacy_email") == RawRow("Ask [EMAIL]", "It is.", "up", "[1]")
    sound = chat("It is.", "Is it?")
    assert mended(sound, *BY_TEXTS) is sound


def test_strings_in_the_calls_of_tools_are_mended_too() -> None:
    def calls(text: str) -> RawRow:
        arguments = msgspec.json.encode([{"name": "mail", "arguments": {"to": [text], "times": 3}}]).decode()
        return RawRow((Message("user", "Send it."),), (Message("assistant", "", tool_calls=arguments),), True)

    assert mended(calls("jane@acme.org"), "privacy_email") == calls("[EMAIL]")
    assert mended(calls("a\u0000b"), "control_characters") == calls("ab")
    odd = RawRow("Why?", (Message("assistant", "Yes", tool_calls="jane@acme.org"),), True)
    assert mended(odd, "privacy_email").completion == (Message("assistant", "Yes", tool_calls="[EMAIL]"),)


@pytest.mark.parametrize(
    "completion", [f"{QUESTION} Because.", f"\n{QUESTION}\n\n{QUESTION}\nBecause.", f"{QUESTION}Because."]
)
def test_a_repeated_prompt_is_cut_off(completion: str) -> None:
    assert mended(row(completion, prompt=QUESTION), "repeats_prompt") == row("Because.", prompt=QUESTION)
    after = mended(chat(completion, "Hi", "Hello", QUESTION), "repeats_prompt")
    assert after == chat("Because.", "Hi", "Hello", QUESTION)
    assert "repeats_prompt" not in cheap([after])


def test_a_prompt_that_was_garbled_is_recognised_once_it_is_mended() -> None:
    raw = row("Où est le café d'Anne ? Là.", prompt="OÃ¹ est le cafÃ© d'Anne ?")
    assert mended(raw, "repeats_prompt") == raw
    assert mended(raw, "repeats_prompt", "mojibake").completion == "Là."


@pytest.mark.parametrize(
    ("raw", "fix"),
    [
        (row(PROSE + " And then the"), "truncated"),
        (row(QUESTION, prompt=QUESTION), "repeats_prompt"),
        (row("<|im_end|>"), "template_tokens"),
        (chat("Yes.", "\x00"), "control_characters"),
    ],
)
def test_a_row_that_breaks_off_or_of_which_nothing_is_left_goes(raw: RawRow, fix: str) -> None:
    assert mend(raw, [fix]) is None
    assert left_out(seen([row(), raw]), [fix]) == [2]
    assert left_out(seen([row(), raw]), [name for name in FIXES if name != fix]) == []


def test_a_row_that_was_empty_stays_for_its_own_check() -> None:
    raw = row("", prompt="Ask jane@acme.org")
    assert mended(raw, "privacy_email") == row("", prompt="Ask [EMAIL]")


def test_near_duplicates_are_left_out_by_their_mended_texts() -> None:
    answer = f"{PROSE} {PROSE[::-1]}"
    rows = [row(answer), row("Sound."), row(f"{answer} \x00"), row(f"{answer} jane@acme.org")]
    assert left_out(seen(rows), ["near_duplicates"]) == [3, 4]
    assert left_out(seen(rows), ["near_duplicates", "control_characters"]) == [3, 4]
    assert left_out(seen(rows), ["exact_duplicates"]) == []


PIECES = st.lists(
    st.sampled_from([
        *FAULTS.values(), QUESTION, "<|im_", "|>", "end", "Ã", "©", "â€™", "\x1b[", "31m", "\x00", "jane@",
        "acme", ".org",
        "+49 30 ", "901820", "4111 1111 ", "1111 1111", " ", "\n", "1", "<s>", "</s>", "[EMAIL]", "sk-",
        "a1B2c3D4e5F6g7H8i9J0",
    ]),
    max_size=6,
).map("".join)  # fmt: skip


@given(PIECES, PIECES, st.sets(st.sampled_from(sorted(FIXES))), st.booleans())
def test_mending_twice_is_mending_once(prompt: str, completion: str, fixes: Collection[str], plain: bool) -> None:
    raw = row(completion, prompt=prompt) if plain else chat(completion, prompt)
    after = mend(raw, fixes)
    if after is None:
        return
    assert mend(after, fixes) == after
    found = set(texts([after])) | set(cheap([after]))
    assert not found & {name for name in fixes if FIXES[name].kind == "change"}
    for kind in PRIVATE:
        if kind.id in fixes:
            spans = {text[slice(*span)] for text in texts_of(raw) for span in kind.spans(text)}
            assert not any(kind.example(text) for text in texts_of(after)), spans


def test_every_fix_says_what_it_does() -> None:
    for name, fix in FIXES.items():
        assert fix.what[0].isupper(), name
        assert not fix.what.endswith("."), name
        assert fix.kind == "leave out" or fix.sees == "texts", name
