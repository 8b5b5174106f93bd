"""What can be seen of the columns of a sample: what they hold, what their names say, whether they judge."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kto_tui.choices import Role
from kto_tui.data.labels import Reading, Scalar, key, read_labels
from kto_tui.data.shapes.form import RowProblemError
from kto_tui.data.shapes.nested import is_message
from kto_tui.data.shapes.shape import Kind, Kinds
from kto_tui.data.shapes.transcript import is_transcript
from kto_tui.data.shapes.turns import messages_in
from kto_tui.data.shapes.verdicts import VALUE_KEYS, verdicts

_NAMES: dict[Role, str] = {
    "prompt": "prompt question query instruction input request human user user_message user_prompt user_query "
    "user_input",
    "completion": "completion response answer output reply assistant bot generation generated_text assistant_message",
    "label": "label labels kto_tag feedback rating ratings thumb thumbs thumb_up thumbs_up vote votes score stars good "
    "liked like helpful correct accepted approved desirable preference judgement judgment verdict evaluation "
    "reward sentiment annotation reaction",
    "system": "system system_prompt system_message",
    "context": "context input",
    "history": "history",
    "tools": "tools functions",
    "messages": "messages conversations conversation dialogue dialog chat transcript text",
    "chosen": "chosen chosen_response preferred preferred_response preferred_output win better",
    "rejected": "rejected rejected_response dispreferred non_preferred_output lose worse",
    "preferred": "preferred preference winner chosen choice better best selected label labels verdict comparison",
}
NAMES = {role: frozenset(names.split()) for role, names in _NAMES.items()}
# These names are as often a person's or a model's as what they said.
NEED_PROSE = {"user", "human", "assistant", "bot"}
NEGATIONS = {"not", "no", "non", "never"}
# What they say is the opposite of a label.
OPPOSITES = {
    "thumbs_down", "thumb_down", "down", "downvote", "downvotes", "downvoted", "dislike", "dislikes", "disliked", "bad",
    "is_bad", "incorrect", "is_incorrect", "unhelpful", "is_unhelpful",
}  # fmt: skip
# Values so short and so few may be labels, whatever they say.
LABEL_CHARACTERS = 24
MOST_VALUES = 8
# One of two answers: a, left, 1, answer1, response_b, "Answer 2".
SIDE = re.compile(r"(?:(.*)[^a-z0-9]|([a-z]*)(?=[12]))?(a|b|1|2|left|right|first|second)")
SIDES = {"a": 0, "1": 0, "left": 0, "first": 0, "b": 1, "2": 1, "right": 1, "second": 1}
SCALE = re.compile(r" *[(\[] *-?\d+ *(?:-|–|/|to|\.\.) *\d+ *[)\]] *$")  # noqa: RUF001 - a dash between numbers
STEMS = NAMES["completion"] | {"", "text", "conversation", "chat", "candidate", "option", "summary"}
TIE = re.compile(r"(tie|both|neither)\b.*|same|equal|none|draw")


class Column(msgspec.Struct, frozen=True):
    """A column of the sample. ``key``: its name as ``key_of``; ``values``: not empty; ``roles``: what its name says."""

    name: str
    key: str
    kind: Kind
    values: tuple[Any, ...]
    roles: frozenset[Role]

    @property
    def prose(self) -> bool:
        """Whether most of its texts have several words."""
        return sum(isinstance(value, str) and " " in value.strip() for value in self.values) * 2 > len(self.values)

    @property
    def is_python(self) -> bool:
        """Whether its text is what Python prints of messages, as some programs write it to CSV."""
        return bool(self.values) and isinstance(self.values[0], str) and self.values[0].startswith("[{'")

    def named(self, role: Role) -> bool:
        """Whether its name says that it holds ``role``, and its values do not speak against it."""
        return role in self.roles and (self.key not in NEED_PROSE or self.kind != "text" or self.prose)


def columns_of(sample: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """All columns of ``sample`` by name, in order of appearance."""
    values: dict[str, list[Any]] = {}
    for record in sample:
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    found = {}
    for name, cells in values.items():
        kinds = Counter(kind(cell) for cell in cells)
        empty = kinds.pop("empty", 0)
        filled = tuple(cell for cell in cells if kind(cell) != "empty") if empty else tuple(cells)
        word = key_of(name)
        found[name] = Column(name, word, kinds.most_common(1)[0][0] if kinds else "empty", filled, _roles(word))
    return found


def _roles(name: str) -> frozenset[Role]:
    """The roles that a column's name says: the whole name, else its last word."""
    *before, last = name.split("_")
    whole = [role for role, names in NAMES.items() if name in names]
    if whole or not NEGATIONS.isdisjoint(before):
        return frozenset(whole)
    return frozenset(role for role, names in NAMES.items() if last in names)


def as_named(found: Reading, column: str) -> Reading:
    """``found`` with what the name of its column says: true is good where that is a label's, and bad in ``dislike``."""
    word = key_of(column)
    if word in OPPOSITES or word.rpartition("_")[2] in OPPOSITES:
        said = f"{found.because}, turned round, for the column is called {column!r}"
        return msgspec.structs.replace(found.flipped(), certain=False, because=said)
    if found.certain and "label" not in _roles(word):
        said = f"reads true as good and false as bad, though the column is called {column!r}"
        return msgspec.structs.replace(found, certain=False, because=said)
    return found


def key_of(name: str) -> str:
    """The last part of a column's name in lower case with underscores: ``data.userPrompt`` is ``user_prompt``.

    The scale behind the name of a rating, as in ``Rating (1-5)``, is no part of it.
    """
    last = SCALE.sub("", name).rpartition(".")[2]
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()).strip("_")


def kind(value: object) -> Kind:
    """What one cell holds."""
    if value is None or value in ("", [], {}):
        return "empty"
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, bool | int | float):
        return "scalar"
    if isinstance(value, Mapping):
        return "message" if is_message(value) else "verdict" if any(name in value for name in VALUE_KEYS) else "other"
    if not isinstance(value, list | tuple):
        return "other"
    first = next((item for item in value if item is not None), None)
    if isinstance(first, Mapping):
        if is_message(first):
            return "messages" if "role" in first else "conversation"
        return "verdict" if any(name in first for name in VALUE_KEYS) else "objects"
    if isinstance(first, list | tuple):
        return "pairs" if len(first) == 2 and all(isinstance(text, str) for text in first) else "verdict"
    return "verdict"


def _kind_of_text(text: str) -> Kind:
    if not text.strip():
        return "empty"
    if (messages := messages_in(text)) is not None:
        return kind(messages)
    return "transcript" if is_transcript(text) else "text"


def judgements(column: Column) -> Counter[Scalar] | None:
    """How often each judgement occurs in a column that may be a label; None where its values are no labels."""
    counts: Counter[Scalar] = Counter()
    try:
        for value in column.values:
            counts.update(verdicts(value, column.name))
    except RowProblemError:
        return None
    texts = [value for value in counts if isinstance(value, str)]
    few = len(counts) <= MOST_VALUES and all(len(text) <= LABEL_CHARACTERS for text in texts)
    return counts if few or len(texts) < len(counts) / 2 or reads(counts) else None


def reads(counts: Counter[Scalar]) -> bool:
    """Whether most of these values are labels that are known."""
    reading = read_labels(counts)
    known = sum(count for value, count in counts.items() if reading.label(value) is not None or reading.threshold)
    return reading.kind != "unknown" and known * 2 > counts.total()


def side(value: object) -> int | None:
    """Which of two answers ``value`` names: 0 the first, 1 the second, None neither."""
    found = SIDE.fullmatch(key(value))
    return SIDES[found[3]] if found else None


def answers(columns: Mapping[str, Column], allowed: Kinds) -> tuple[Column, Column] | None:
    """The two columns that hold a first and a second answer; None unless there are exactly two."""
    found: dict[int, list[Column]] = {0: [], 1: []}
    for column in columns.values():
        match = SIDE.fullmatch(column.key)
        if match and (match[1] or match[2] or "") in STEMS and column.kind in allowed:
            found[SIDES[match[3]]].append(column)
    return (found[0][0], found[1][0]) if len(found[0]) == len(found[1]) == 1 else None
