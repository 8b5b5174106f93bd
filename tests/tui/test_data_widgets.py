"""What the Data screen is drawn with: nothing escapes its cells, nothing that occurs goes unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from kto_tui.data.rows import Message
from kto_tui.data.shown import ShownRow
from kto_tui.data.tokens.lengths import count
from kto_tui.data.tokens.rendered import Piece, Rendered
from kto_tui.plain import plain
from kto_tui.tui.row_cursor import RowCursor
from kto_tui.tui.screens.data import toggled
from kto_tui.tui.visible import one_line, sketch, visible
from kto_tui.tui.widgets.balance_bar import BAD, GOOD, bar, weights_line
from kto_tui.tui.widgets.histogram import bins, histogram_lines
from kto_tui.tui.widgets.rendered_view import rendered_lines, summary
from kto_tui.tui.widgets.row_view import blocks_of, changed_blocks, lay_out, share

TEXTS = st.text(max_size=300) | st.sampled_from(
    ["한국어 " * 30, "שלום " * 30, "👨‍👩‍👧" * 20, "\x1b[2J\u202e", "a" * 5000, "\n" * 50]
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "^[[31mred"),
        ("\x00\x07\x7f", "^@^G^?"),
        ("a\r\nb\rc", "a\nb^Mc"),
        ("\tx", "    x"),
        ("\x9b1m", "<U+009B>1m"),
        ("\u202eevil", "<U+202E>evil"),
        ("\ufeffa\u200bb", "<U+FEFF>a<U+200B>b"),
        ("\ud800", "<U+D800>"),
        ("👨‍👩‍👧 é 한", "👨‍👩‍👧 é 한"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(TEXTS)
def test_visible_text_steers_nothing_and_can_be_encoded(text: str) -> None:
    shown = visible(text)
    assert not any(ord(c) < 0x20 and c != "\n" for c in shown)
    assert not set(shown) & set("\x7f\x9b\u202e\u2066\u200b")
    shown.encode()
    assert plain(shown.replace("\n", "")).isascii()


def test_a_line_is_one_line_however_long_and_deep_its_value() -> None:
    assert one_line("a\n\n b\tc") == "a b c"
    assert len(one_line("x" * 10_000_000)) < 250
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert "\n" not in sketch(deep)
    assert len(sketch([{"a": "b" * 1_000_000}] * 1000)) < 250


@given(st.lists(TEXTS, min_size=1, max_size=8), st.integers(16, 160), st.integers(1, 50))
def test_a_row_stays_within_its_lines_and_cells(texts: list[str], width: int, height: int) -> None:
    turns = tuple(Message("user", text) for text in texts[:-1])
    row = ShownRow(1, "f:1", turns, (Message("assistant", texts[-1]),), "up", True)
    lines = lay_out(blocks_of(row), width, height)
    assert len(lines) <= height
    assert all(line.cell_length <= width for line in lines)
    assert any(line.plain.startswith("> assistant") for line in lines), "the answer is always in sight"


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), st.integers(0, 60))
def test_lines_are_shared_without_waste(wanted: list[int], room: int) -> None:
    granted = share(wanted, room)
    assert all(0 <= got <= want for got, want in zip(granted, wanted, strict=True))
    assert sum(granted) == min(room, sum(wanted))


def test_long_conversations_say_how_much_is_not_shown() -> None:
    turns = tuple(Message("user", f"turn {i}") for i in range(40))
    row = ShownRow(1, "f:1", turns, "x" * 9_000, "up", True, tools='[{"name": "search"}]')
    told = "\n".join(line.plain for line in lay_out(blocks_of(row), 80, 20))
    assert "[28 earlier turns]" in told
    assert "[9,000 characters]" in told
    assert "search" in told
    assert "turn 39" in told


def test_a_change_is_shown_from_shortly_before_it() -> None:
    before = ShownRow(1, "f:1", "q", "same " * 100 + "<|im_end|>", "up", True)
    after = ShownRow(1, "f:1", "q", "same " * 100, "up", True)
    (was, old), (will_be, new) = changed_blocks(before, after)
    assert (was, will_be) == ("before", "> after")
    assert old.endswith("<|im_end|>")
    assert old.startswith("…")
    assert len(old) < 150
    assert "<|im_end|>" not in new


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(2, 200))
def test_a_label_that_occurs_has_a_cell(good: int, bad: int, width: int) -> None:
    drawn = bar(good, bad, width)
    assert len(drawn) == (width if good + bad else 0)
    assert (GOOD in drawn) == (good > 0)
    assert (BAD in drawn) == (bad > 0)


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        (9841, 4371, "weights 1 : 2.251 make the ratio 1.00, within 1 to 1.33 (Eq. 8)"),
        (100, 300, "weights 3 : 1 make the ratio 1.00, within"),
        (120, 100, "weights 1 : 1 make the ratio 1.20, within"),
        (100_003, 3, "within 1 to 1.33"),
        (3, 100_003, "within 1 to 1.33"),
        (7, 0, "only one label"),
        (0, 0, "no rows"),
    ],
)
def test_weights_come_with_the_range_of_equation_8(good: int, bad: int, told: str) -> None:
    assert told in weights_line(good, bad)


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 60_000), st.booleans()), max_size=60))
def test_the_histogram_counts_every_row_once(rows: list[tuple[int, int, bool]]) -> None:
    lengths = count([(asked, answered) for asked, answered, _ in rows], [label for *_, label in rows])
    found = bins(lengths)
    assert sum(good for _, good, _ in found) == sum(label for _, answered, label in rows if answered)
    assert sum(bad for *_, bad in found) == sum(not label for _, answered, label in rows if answered)
    lines = histogram_lines(lengths, 52)
    assert len(lines) == (len(found) + 1 if found else 0)
    assert all(line.cell_length <= 52 for line in lines)
    for (_, good, bad), line in zip(found, lines[1:], strict=False):
        assert (GOOD in line.plain, BAD in line.plain) == (good > 0, bad > 0)


def test_the_cursor_walks_all_rows_or_those_of_a_check() -> None:
    cursor = RowCursor()
    cursor.move(-1, 10)
    assert cursor.number == 1
    cursor.go(99, 10)
    assert cursor.number == 10
    assert cursor.ahead(1, 10) is None
    cursor.enter((3, 7))
    assert (cursor.number, cursor.ahead(1, 10), cursor.ahead(2, 10)) == (3, 7, None)
    cursor.move(5, 10)
    assert (cursor.number, cursor.index) == (7, 1)
    cursor.enter(())
    cursor.move(-2, 10)
    assert cursor.number == 5


def test_a_decision_about_a_row_is_taken_back_by_taking_it_again() -> None:
    assert toggled(toggled((), 7), 3) == (3, 7)
    assert toggled((3, 7), 3) == (7,)


def rendered(*pieces: Piece, limit: int | None = None) -> Rendered:
    asked = sum(piece.tokens for piece in pieces if not piece.trained and piece.kind != "cut")
    answered = sum(piece.tokens for piece in pieces) - asked
    return Rendered(pieces=pieces, prompt_tokens=asked, completion_tokens=answered, lost_prompt=0, max_length=limit)


def test_what_the_model_sees_is_marked_by_characters_not_only_by_colour() -> None:
    row = rendered(
        Piece("<|im_start|>", "special", 1, trained=False),
        Piece("user\nhow?", "prompt", 4, trained=False),
        Piece("like this\x1b[2J", "completion", 2, trained=True),
        Piece("<|im_end|>", "special", 1, trained=True),
        Piece(" and on", "cut", 2, trained=False),
        limit=8,
    )
    lines = [line.plain.rstrip("─ ") for line in rendered_lines(row, 60)]
    assert lines == [
        "─── prompt: 5 tokens",
        "  <|im_start|>user",
        "  how?",
        "─── completion, trained on: 3 tokens",
        "> like this^[[2J<|im_end|>",
        "─── cut off, beyond max_length: 2 tokens",
        "x  and on",
    ]
    assert "10 tokens: 5 prompt, 5 completion" in summary(row)
    assert "CUT: 2 tokens are beyond max_length 8" in summary(row)
    whole = Content("").join(rendered_lines(row, 60))
    assert any("reverse" in str(span.style) for span in whole.spans), "special tokens stand out"
    assert len(rendered_lines(rendered(Piece("x" * 9_000_000, "prompt", 9, trained=False)), 60)) < 200
