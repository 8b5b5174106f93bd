"""Conversations written as one text: ``Human: ...`` and ``Assistant: ...``, as in HH-RLHF."""

import re
from collections.abc import Iterable, Sequence

from kto_tui.data.rows import Message, MessageRole
from kto_tui.errors import UserError

SPEAKERS: dict[str, MessageRole] = {
    "Human": "user", "User": "user", "Assistant": "assistant", "AI": "assistant", "Bot": "assistant",
    "System": "system",
}  # fmt: skip
NAMES = {"user": "Human", "assistant": "Assistant", "system": "System"}
ANSWERING = [name for name, role in SPEAKERS.items() if role == "assistant"]
OPEN_ENDS = tuple(f"{name}:" for name in ANSWERING)


def _marks(gap: str, names: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:\A\s*|{gap})(?:###[ ]?)?({'|'.join(names)}):[ ]?")


# HH-RLHF has an empty line between turns; where none precedes an answer, the beginning of a line is enough.
_STYLES = [(_marks(gap, SPEAKERS), _marks(gap, ANSWERING)) for gap in (r"\n\n", r"\n")]


def _style(text: str) -> re.Pattern[str] | None:
    if not _STYLES[0][0].match(text):
        return None
    return next((turn for turn, answer in _STYLES if answer.search(text)), None)


def is_transcript(text: str) -> bool:
    """Whether ``text`` begins with a turn and has an answer."""
    return _style(text) is not None


def parse(text: str) -> tuple[Message, ...]:
    """The turns of a transcript, their texts as they are but for one space after the colon; none where it is none.

    An answer that is announced and empty at the end, as prompts have it, is left out.
    """
    style = _style(text)
    if style is None:
        return ()
    marks = list(style.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [Message(SPEAKERS[mark[1]], text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    is_announced = turns[-1].role == "assistant" and not turns[-1].content.strip()
    return tuple(turns[:-1] if is_announced else turns)


def is_open(text: str) -> bool:
    """Whether a transcript ends where the assistant's answer is to follow."""
    return text.rstrip().endswith(OPEN_ENDS) and is_transcript(text)


def render(turns: Sequence[Message]) -> str:
    """``turns`` as a transcript.

    Raises:
        UserError: reading it back would not give the same turns: tools, or a text that looks like a new turn.
    """
    text = "".join(f"\n\n{NAMES.get(turn.role, turn.role)}: {turn.content}" for turn in turns)
    if parse(text) != tuple(turns):
        raise UserError(
            "A turn of this row has tools, is empty at the end or looks like several in a transcript",
            mend="Convert to messages instead",
        )
    return text
