"""Token ids of prompts and completions, by the rules of TRL 1.16 (``KTOTrainer._prepare_dataset``)."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from kto_tui.data.rows import Row


class Tokenizer(Protocol):
    """What is used of a Transformers tokenizer."""

    @property
    def eos_token(self) -> str | None:
        """The text of the end-of-sequence token."""

    def __call__(self, text: str) -> Mapping[str, Any]:
        """Token ids of plain text under ``input_ids``."""

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: bool) -> Any:  # noqa: ANN401
        """Token ids of rendered messages under ``input_ids``, with ``return_dict=True``."""


class TokenRow(msgspec.Struct, frozen=True, array_like=True):
    """One judged answer as token ids, whole: nothing is cut yet.

    Attributes:
        line: of the data file.
        label: True for desirable.
        prompt_ids: tokens that prompt and prompt + completion have in common, counted from the start.
        completion_ids: the rest of prompt + completion; the end-of-sequence token included.
        lost_prompt: tokens at the end of the rendered prompt that the rendered conversation does not have.
    """

    line: int
    label: bool
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    lost_prompt: int = 0

    @property
    def length(self) -> int:
        """Tokens of prompt and completion together."""
        return len(self.prompt_ids) + len(self.completion_ids)


def _common_prefix(left: list[int], right: list[int]) -> int:
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length


def tokenize_row(row: Row, tokenizer: Tokenizer) -> TokenRow:
    """The token ids of ``row``.

    Chat rows: the prompt is rendered with the generation prompt, prompt and completion together without; the
    completion starts where the two differ. Plain text: the end-of-sequence token is appended where it is missing.
    """
    if isinstance(row.prompt, str):
        completion = str(row.completion)
        if tokenizer.eos_token and not completion.endswith(tokenizer.eos_token):
            completion += tokenizer.eos_token
        prompt = list(tokenizer(row.prompt)["input_ids"])
        whole = list(tokenizer(row.prompt + completion)["input_ids"])
    else:
        turns, answer = msgspec.to_builtins(row.prompt), msgspec.to_builtins(row.completion)
        prompt = list(
            tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, add_generation_prompt=True)[
                "input_ids"
            ]
        )
        whole = list(tokenizer.apply_chat_template([*turns, *answer], tokenize=True, return_dict=True)["input_ids"])
    shared = _common_prefix(prompt, whole)
    return TokenRow(row.line, row.label, tuple(prompt[:shared]), tuple(whole[shared:]), len(prompt) - shared)


def tokenize_rows(rows: Iterable[Row], tokenizer: Tokenizer) -> tuple[TokenRow, ...]:
    """The token ids of all ``rows``, in order."""
    return tuple(tokenize_row(row, tokenizer) for row in rows)
