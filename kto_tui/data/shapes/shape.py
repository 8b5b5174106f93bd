"""The shapes that records are known to have, as a table: own column names, what they may hold, how text is read."""

from typing import Literal

import msgspec

from kto_tui.choices import Role
from kto_tui.data.shapes.nested import Flatten, argilla, dotted, label_studio

# What a column holds: see ``columns.kind``.
Kind = Literal[
    "empty", "text", "transcript", "messages", "conversation", "message", "pairs", "objects", "scalar", "verdict",
    "other",
]  # fmt: skip
# text: stays text. chat: is a message. transcript: is the turns it holds, or a message. asked: in prompts the same.
Strings = Literal["text", "chat", "transcript", "asked"]
Kinds = frozenset[Kind]

TURNS: Kinds = frozenset({"messages", "conversation"})
SPEECH: Kinds = frozenset({"empty", "text", "message", *TURNS})
SCRIPT: Kinds = frozenset({"transcript"})


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        title: for people.
        own: the shape's own column names and what they hold; other names count as guesses.
        needs: what must be there, and what it may hold; one of these suffices.
        strings: how text is read.
        strict: ``needs`` are found by their own names only.
        flatten: opens nested records.
        label_prefix: of the columns that people's judgements are in, where the shape says so.
    """

    title: str
    own: dict[str, Role]
    needs: tuple[dict[Role, Kinds], ...]
    strings: Strings = "chat"
    strict: bool = True
    flatten: Flatten | None = None
    label_prefix: str = ""


_ALPACA: dict[str, Role] = {"instruction": "prompt", "input": "context", "history": "history", "system": "system"}
_UNPAIRED: dict[Role, Kinds] = {"prompt": SPEECH | SCRIPT, "completion": SPEECH}
_WHOLE: dict[Role, Kinds] = {"messages": TURNS | SCRIPT}
_PAIRED: dict[Role, Kinds] = {"chosen": SPEECH | SCRIPT, "rejected": SPEECH | SCRIPT}
_COMPARED: dict[Role, Kinds] = {
    "first": SPEECH, "second": SPEECH, "preferred": frozenset({"scalar", "text", "verdict"}),
}  # fmt: skip

# The first of equally likely shapes wins, so the narrower stand before the wider.
SHAPES: dict[str, Shape] = {
    "openai-preference": Shape(
        title="OpenAI preference fine-tuning",
        own={
            "input.messages": "prompt", "input.tools": "tools", "preferred_output": "chosen",
            "non_preferred_output": "rejected",
        },
        needs=({"prompt": TURNS, "chosen": SPEECH, "rejected": SPEECH},),
        flatten=dotted,
    ),
    "label-studio": Shape(
        title="Label Studio export", own={}, needs=(_UNPAIRED, _WHOLE, _COMPARED), strings="asked", strict=False,
        flatten=label_studio, label_prefix="annotations.",
    ),
    "argilla": Shape(
        title="Argilla export", own={}, needs=(_UNPAIRED, _WHOLE, _COMPARED), strings="asked", strict=False,
        flatten=argilla, label_prefix="responses.",
    ),
    "sharegpt-paired": Shape(
        title="ShareGPT with chosen and rejected",
        own={
            "conversations": "prompt", "messages": "prompt", "chosen": "chosen", "rejected": "rejected",
            "system": "system", "tools": "tools",
        },
        needs=({"prompt": TURNS, "chosen": SPEECH, "rejected": SPEECH},),
    ),
    "openai": Shape(
        title="OpenAI chat messages",
        own={"messages": "messages", "tools": "tools", "label": "label"},
        needs=({"messages": frozenset({"messages"})},),
    ),
    "sharegpt": Shape(
        title="ShareGPT conversations",
        own={
            "conversations": "messages", "messages": "messages", "system": "system", "tools": "tools",
            "kto_tag": "label", "label": "label",
        },
        needs=({"messages": TURNS},),
    ),
    "transcript-paired": Shape(
        title="Human and Assistant transcripts, chosen and rejected",
        own={"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        needs=({"chosen": SCRIPT, "rejected": SCRIPT}, {"prompt": SCRIPT, "chosen": SPEECH, "rejected": SPEECH}),
        strings="transcript",
    ),
    "transcript": Shape(
        title="Human and Assistant transcripts", own={"text": "messages", "label": "label"},
        needs=({"messages": SCRIPT}, {"prompt": SCRIPT, "completion": SPEECH}), strings="transcript", strict=False,
    ),
    "alpaca-paired": Shape(
        title="Alpaca with chosen and rejected", own={**_ALPACA, "chosen": "chosen", "rejected": "rejected"},
        needs=({"prompt": SPEECH, "chosen": SPEECH, "rejected": SPEECH},),
    ),
    "alpaca": Shape(
        title="Alpaca with a tag",
        own={**_ALPACA, "output": "completion", "kto_tag": "label", "label": "label"},
        needs=({"prompt": SPEECH, "completion": SPEECH},),
    ),
    "trl-paired": Shape(
        title="TRL preference pairs",
        own={"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "tools": "tools", "system": "system"},
        needs=({"chosen": SPEECH, "rejected": SPEECH},), strings="text",
    ),
    "trl": Shape(
        title="TRL unpaired preference",
        own={"prompt": "prompt", "completion": "completion", "label": "label", "tools": "tools", "system": "system"},
        needs=({"prompt": SPEECH, "completion": SPEECH},), strings="text",
    ),
    "pairwise": Shape(
        title="Two answers and which one is better", own={}, needs=(_COMPARED,), strings="asked", strict=False,
        flatten=dotted,
    ),
    "table": Shape(
        title="Table", own={}, needs=(_UNPAIRED, _WHOLE, _PAIRED), strings="chat", strict=False, flatten=dotted,
    ),
}  # fmt: skip
