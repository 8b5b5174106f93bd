"""Pieces of a row are its text, each token in one of them, and what is trained on is said of each."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.prepare import TokenRow
from kto_tui.data.tokens.rendered import Piece, render

SPECIAL = {1, 2}
TEXTS = {1: "<s>", 2: "</s>"}


def by_letter(ids: Sequence[int]) -> str:
    return "".join(TEXTS.get(i, chr(i)) for i in ids)


def by_byte(ids: Sequence[int]) -> str:
    """Bytes of UTF-8, as byte-level tokenizers have them."""
    return bytes(ids).decode(errors="replace")


def spaced(ids: Sequence[int]) -> str:
    """Words, and no space at the beginning, as SentencePiece's decoders do."""
    return "".join(f" w{i}" for i in ids).removeprefix(" ")


def row(prompt: str, completion: str) -> TokenRow:
    ids = [tuple({"<": 1, ">": 2}.get(letter, ord(letter)) for letter in text) for text in (prompt, completion)]
    return TokenRow(1, True, ids[0], ids[1], 3)


def test_prompt_special_tokens_and_completion_are_told_apart() -> None:
    found = render(row("<abc>", "de>>"), decode=by_letter, special=SPECIAL)
    assert found.pieces == (
        Piece("<s>", "special", 1, trained=False),
        Piece("abc", "prompt", 3, trained=False),
        Piece("</s>", "special", 1, trained=False),
        Piece("de", "completion", 2, trained=True),
        Piece("</s></s>", "special", 2, trained=True),
    )
    assert (found.prompt_tokens, found.completion_tokens, found.lost_prompt, found.dropped) == (5, 4, 3, False)


@pytest.mark.parametrize(
    ("limit", "kinds", "cut", "dropped"),
    [
        (None, ["prompt", "completion", "special"], 0, False),
        (7, ["prompt", "completion", "special"], 0, False),
        (6, ["prompt", "completion", "cut"], 1, False),
        (4, ["prompt", "completion", "cut"], 3, False),
        (3, ["prompt", "cut"], 4, True),
        (2, ["prompt", "cut"], 5, True),
    ],
)
def test_what_is_beyond_the_limit_is_cut_whatever_it_is(
    limit: int | None, kinds: list[str], cut: int, dropped: bool
) -> None:
    found = render(row("abc", "def>"), decode=by_letter, special=SPECIAL, max_length=limit)
    assert [piece.kind for piece in found.pieces] == kinds
    assert (found.cut_tokens, found.dropped, found.max_length) == (cut, dropped, limit)
    assert any(piece.trained for piece in found.pieces) is not dropped


def test_a_row_whose_completion_adds_nothing_is_left_out() -> None:
    assert render(row("abc", ""), decode=by_letter, special=SPECIAL).dropped
    nothing = render(row("", ""), decode=by_letter, special=SPECIAL)
    assert (nothing.pieces, nothing.dropped) == ((), True)


@given(st.text(max_size=12), st.text(max_size=12), st.none() | st.integers(1, 30))
def test_no_character_is_lost_where_a_piece_ends_within_it(prompt: str, completion: str, limit: int | None) -> None:
    ids = (tuple(prompt.encode(errors="ignore")), tuple(completion.encode(errors="ignore")))
    found = render(TokenRow(1, True, *ids), decode=by_byte, special={65, 0xE2}, max_length=limit)
    assert "".join(piece.text for piece in found.pieces) == by_byte(ids[0] + ids[1])
    assert sum(piece.tokens for piece in found.pieces) == len(ids[0] + ids[1])


def test_a_space_at_the_beginning_of_a_piece_stays() -> None:
    found = render(TokenRow(1, True, (7, 8), (9, 7)), decode=spaced, special=())
    assert [piece.text for piece in found.pieces] == ["w7 w8", " w9 w7"]
