"""Token ids of prompts and completions, by the rules of TRL 1.16 (``KTOTrainer._prepare_dataset``)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from kto_tui.data.rows import Message, Row
from kto_tui.errors import UserError


class Tokenizer(Protocol):
    """What is used of a Transformers tokenizer."""

    @property
    def eos_token(self) -> str | None:
        """The text of the end-of-sequence token."""

    def __call__(self, text: str) -> Mapping[str, Any]:
        """Token ids of plain text under ``input_ids``."""

    def apply_chat_template(self, conversation: list[dict[str, Any]], **options: Any) -> Any:  # noqa: ANN401
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


def common_prefix(left: Sequence[object], right: Sequence[object]) -> int:
    """How many items both have in common from the start."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length


def messages(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """``turns`` as chat templates take them: what a turn does not have is absent, tool calls are a list."""
    found: list[dict[str, Any]] = msgspec.to_builtins(turns)
    return [turn | {"tool_calls": json.loads(turn["tool_calls"])} if "tool_calls" in turn else turn for turn in found]


def _rendered(row: Row, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of the prompt and of the whole conversation.

    Raises:
        UserError: the template refuses the row.
    """
    prompt, whole = messages(row.prompt), messages((*row.prompt, *row.completion))  # type: ignore[arg-type]
    options = {"tokenize": True, "return_dict": True, "tools": json.loads(row.tools) if row.tools else None}
    try:
        asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **options)
        return list(asked["input_ids"]), list(tokenizer.apply_chat_template(whole, **options)["input_ids"])
    except Exception as error:  # a template is its maker's own program and raises what it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"The model's chat template refuses the row ({reason})",
            mend="Change or leave out the row, or choose another model",
            where=f"line {row.line}",
        ) from error


def tokenize_row(row: Row, tokenizer: Tokenizer) -> TokenRow:
    """The token ids of ``row``.

    Chat rows: the prompt is rendered with the generation prompt, prompt and completion together without; the
    completion starts where the two differ. Plain text: the end-of-sequence token is appended where it is missing.

    Raises:
        UserError: the chat template refuses the row.
    """
    if isinstance(row.prompt, str):
        completion = str(row.completion)
        if tokenizer.eos_token and not completion.endswith(tokenizer.eos_token):
            completion += tokenizer.eos_token
        prompt = list(tokenizer(row.prompt)["input_ids"])
        whole = list(tokenizer(row.prompt + completion)["input_ids"])
    else:
        prompt, whole = _rendered(row, tokenizer)
    shared = common_prefix(prompt, whole)
    return TokenRow(row.line, row.label, tuple(prompt[:shared]), tuple(whole[shared:]), len(prompt) - shared)


def tokenize_rows(rows: Iterable[Row], tokenizer: Tokenizer) -> Iterator[TokenRow]:
    """The token ids of all ``rows``, in order, one row at a time."""
    return (tokenize_row(row, tokenizer) for row in rows)
