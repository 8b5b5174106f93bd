"""Rows: judged answers, as every backend takes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

MessageRole = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat turn. ``tool_calls``: JSON text of the list of calls an assistant makes, empty without."""

    role: MessageRole
    content: str
    tool_calls: str = ""
    name: str = ""
    tool_call_id: str = ""


class Row(msgspec.Struct, frozen=True):
    """One judged answer. Plain rows carry strings, conversational rows message tuples (TRL's unpaired format).

    Attributes:
        prompt: what was asked.
        completion: the judged answer.
        label: True for desirable.
        line: where its record begins in its file.
        number: counted from 1 over all rows the source yields, before any is left out; 0 where nobody counted.
        tools: JSON text of the list of tools the model could call, empty without.
    """

    prompt: str | tuple[Message, ...]
    completion: str | tuple[Message, ...]
    label: bool
    line: int
    number: int = 0
    tools: str = ""

    @property
    def characters(self) -> int:
        """Characters of prompt and completion."""
        return len(text_of(self.prompt)) + len(text_of(self.completion))

    @property
    def prompt_key(self) -> str:
        """Equal for rows that share their prompt."""
        return self.prompt if isinstance(self.prompt, str) else msgspec.json.encode(self.prompt).decode()


class Dataset(msgspec.Struct, frozen=True):
    """The rows of one source that are trained on.

    Attributes:
        path: of its file or folder.
        rows: in order; mapped from disk, not held in memory.
        fingerprint: SHA-256 over rows and labels.
        desirable: rows labelled true.
        mean_characters: of a row.
        p95_characters: what 95 % of the rows stay below.
    """

    path: Path
    rows: Sequence[Row]
    fingerprint: str
    desirable: int
    mean_characters: float
    p95_characters: int

    @property
    def undesirable(self) -> int:
        """How many rows are labelled false."""
        return len(self.rows) - self.desirable

    @property
    def chat(self) -> bool:
        """Whether rows are chat messages, else text; all rows of a source are one or the other."""
        return not isinstance(self.rows[0].prompt, str)


def text_of(part: str | tuple[Message, ...]) -> str:
    """A prompt or completion as plain text for people."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message.role}: {message.content}" for message in part)
