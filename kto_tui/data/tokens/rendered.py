"""A row as the model sees it: the text of its tokens in pieces, and what becomes of each in training."""

from collections.abc import Callable, Container, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from kto_tui.data.prepare.tokens import TokenRow, common_prefix

Kind = Literal["prompt", "completion", "special", "cut"]


class Piece(msgspec.Struct, frozen=True):
    """Neighbouring tokens of one kind.

    Attributes:
        text: of the tokens, special ones as they are written.
        kind: special tokens are those of the tokenizer, in prompt and completion; cut is what is beyond max_length.
        tokens: how many.
        trained: whether the loss is computed on them.
    """

    text: str
    kind: Kind
    tokens: int
    trained: bool


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """One row, whole.

    Attributes:
        pieces: in order; their texts together are the text of the row.
        prompt_tokens: before anything is cut.
        completion_tokens: before anything is cut.
        lost_prompt: tokens at the end of the prompt that the template leaves out once an answer follows.
        max_length: the limit that was asked about; None: none.
    """

    pieces: tuple[Piece, ...]
    prompt_tokens: int
    completion_tokens: int
    lost_prompt: int
    max_length: int | None

    @property
    def dropped(self) -> bool:
        """Whether training leaves the row out: its prompt alone fills ``max_length``, or nothing follows the prompt."""
        return not self.completion_tokens or (self.max_length is not None and self.prompt_tokens >= self.max_length)

    @property
    def cut_tokens(self) -> int:
        """Tokens beyond ``max_length``."""
        total = self.prompt_tokens + self.completion_tokens
        return 0 if self.max_length is None else max(0, total - self.max_length)


def render(
    row: TokenRow, *, decode: Callable[[Sequence[int]], str], special: Container[int], max_length: int | None = None
) -> Rendered:
    """``row`` in pieces.

    Args:
        row: its tokens.
        decode: text of token ids.
        special: ids of the tokenizer's special tokens.
        max_length: the limit, if there is one.
    """
    ids, first = (*row.prompt_ids, *row.completion_ids), len(row.prompt_ids)
    end = len(ids) if max_length is None else max_length

    def kind(place: int) -> tuple[Kind, bool]:
        if place >= end:
            return "cut", False
        if ids[place] in special:
            return "special", place >= first
        return ("completion", True) if place >= first else ("prompt", False)

    kinds = [(key, len(list(places))) for key, places in groupby(range(len(ids)), key=kind)]
    texts = _texts(ids, [count for _, count in kinds], decode)
    return Rendered(
        pieces=tuple(Piece(text, k, count, trained) for text, ((k, trained), count) in zip(texts, kinds, strict=True)),
        prompt_tokens=first,
        completion_tokens=len(row.completion_ids),
        lost_prompt=row.lost_prompt,
        max_length=max_length,
    )


def _texts(ids: Sequence[int], counts: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[str]:
    """The text of ``ids`` in pieces of ``counts`` tokens, nothing lost and nothing added where they meet."""
    whole = decode(ids)
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    alone = [decode(ids[end - count : end]) for end, count in zip(ends, counts, strict=True)]
    if "".join(alone) == whole:
        return alone
    # A character of several tokens, or a space that decoders drop at a beginning: the piece behind gets it.
    found, start = [], 0
    for end in ends:
        stop = max(start, common_prefix(whole, decode(ids[:end]))) if end < len(ids) else len(whole)
        found.append(whole[start:stop])
        start = stop
    return found
