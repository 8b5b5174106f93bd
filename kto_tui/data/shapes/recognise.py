"""Which shape a sample of records has, how sure that is, and why; and what a person made of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kto_tui.choices import DataChoices, Role
from kto_tui.data.shapes.columns import OPPOSITES, TIE, Column, answers, columns_of, judgements, reads, side
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import Form, RowProblemError
from kto_tui.data.shapes.nested import Flatten, dotted
from kto_tui.data.shapes.shape import SHAPES, SPEECH, TURNS, Kinds, Shape
from kto_tui.errors import UserError

OWN, NAMED, AMBIGUOUS, MISFIT = 1.0, 0.8, 0.4, 0.2
WORDS: dict[Role, str] = {
    "prompt": "the prompt", "completion": "the answer", "label": "the label", "system": "the system prompt",
    "context": "the context below the prompt", "messages": "the conversation", "chosen": "the chosen answer",
    "rejected": "the rejected answer", "first": "one answer", "second": "the other answer",
    "preferred": "which answer is better", "history": "earlier turns", "tools": "the tools",
}  # fmt: skip
# What else a shape may have, with what it may hold.
EXTRAS: dict[Role, Kinds] = {
    "system": frozenset({"text", "empty"}),
    "history": frozenset({"pairs", "text", "transcript", "empty", *TURNS}),
    "tools": frozenset({"objects", "text", "empty", "other"}),
    "context": frozenset({"text", "empty"}),
}
# Columns that cannot be trained and change the meaning of the text beside them.
MEDIA = {"image", "images", "audio", "audios", "video", "videos"}
ANSWERS: tuple[set[Role], ...] = (
    {"completion"}, {"messages"}, {"chosen", "rejected"}, {"first", "second", "preferred"},
)  # fmt: skip


class MisfitError(UserError):
    """Choices that were made about other records than these."""


class Match(msgspec.Struct):
    """Columns found for a shape so far: the role of each, how sure, and what is doubtful."""

    roles: dict[str, Role] = msgspec.field(default_factory=dict)
    confidence: float = OWN
    doubts: list[str] = msgspec.field(default_factory=list)

    def take(self, role: Role, found: Sequence[Column], confidence: float) -> bool:
        """Give ``role`` to the first of the columns ``found``; several are a doubt."""
        if not found:
            return False
        self.roles |= {column.name: role for column in (found if role == "context" else found[:1])}
        if len(found) > 1 and role != "context":
            self.doubt(f"{_list(column.name for column in found)} could each be {WORDS[role]}")
        self.confidence = min(self.confidence, confidence)
        return True

    def doubt(self, text: str) -> None:
        """Note why somebody has to look."""
        self.doubts.append(text)
        self.confidence = min(self.confidence, AMBIGUOUS)


def recognise(sample: Sequence[Mapping[str, Any]], *, labelled: bool = True) -> tuple[Form, ...]:
    """Ways to read the records of ``sample``, the likeliest first; the last resort is a table that somebody must map.

    Args:
        sample: some records, at least one; their columns in order of appearance.
        labelled: whether a column has to say which answers are good; without one all of them are.
    """
    views: dict[Flatten | None, dict[str, Column]] = {None: columns_of(sample)}
    if not any(column.kind in {"message", "verdict", "other"} for column in views[None].values()):
        views[dotted] = views[None]  # there is nothing to open
    forms = []
    for name, shape in SHAPES.items():
        prefix, flatten = shape.label_prefix.rstrip("."), shape.flatten
        if prefix and not any(prefix in column for column in views[None]):
            continue
        if flatten is not None and flatten not in views:
            views[flatten] = columns_of([flatten(record) for record in sample])
        columns = views[flatten]
        if best := max(_matches(shape, columns, labelled=labelled), key=lambda match: match.confidence, default=None):
            forms.append(_form(name, shape, columns, best))
    table = views[SHAPES["table"].flatten]
    if not any(form.shape == "table" for form in forms):
        forms.append(_form("table", SHAPES["table"], table, _guess(table)))
    return tuple(sorted((_tried(form, sample) for form in forms), key=lambda form: -form.confidence))


def _tried(form: Form, sample: Sequence[Mapping[str, Any]]) -> Form:
    """``form`` as it proves itself on ``sample``: one that cannot read most of it is not meant."""
    if not form.confidence:
        return form
    read, problems = converter(form), []
    for record in sample:
        try:
            rows = read(record)
            if "prompt" not in form.columns.values() and not all(row.prompt for row in rows):
                problems.append("there is no prompt, and the two answers do not begin alike")
        except RowProblemError as problem:
            problems.append(problem.text)
    if len(problems) * 2 <= len(sample):
        return form
    because = f"it does not fit most records: {problems[0]}; {form.because}"
    return msgspec.structs.replace(form, confidence=min(form.confidence, MISFIT), because=because)


def _matches(shape: Shape, columns: dict[str, Column], *, labelled: bool) -> Iterator[Match]:
    if not any(name.startswith(shape.label_prefix) for name in columns):
        return
    for needs in shape.needs:
        match = Match()
        if "first" in needs:
            found = _compared(shape, columns, match, needs["first"])
        else:
            found = all(match.take(role, *_find(shape, columns, role, kinds)) for role, kinds in needs.items())
        if found:
            _complete(shape, columns, match, needs)
            if labelled and ({*needs} & {"completion", "messages"}) and "label" not in match.roles.values():
                match.confidence = 0.0
                match.doubts.append("no column says which answers are good")
            yield match


def _find(shape: Shape, columns: dict[str, Column], role: Role, kinds: Kinds) -> tuple[list[Column], float]:
    """The columns that may hold ``role``, and how sure that is."""
    own = [column for column in columns.values() if shape.own.get(column.name) == role and column.kind in kinds]
    if own or (shape.strict and role in shape.own.values()):
        return own, OWN
    return _named(columns, role, kinds), NAMED


def _named(columns: Mapping[str, Column], role: Role, kinds: Kinds) -> list[Column]:
    named = [column for column in columns.values() if column.named(role) and column.kind in kinds]
    # Alpaca's way: an input beside an instruction stands below it.
    return [column for column in named if column.key != "input"] or named if role == "prompt" else named


def _compared(shape: Shape, columns: dict[str, Column], match: Match, kinds: Kinds) -> bool:
    pair = answers(columns, kinds)
    voted = [
        column
        for column in _judging(shape, columns, "preferred")
        if all(side(value) is not None or TIE.fullmatch(str(value)) for value in judgements(column) or ())
    ]
    if pair is None or not match.take("preferred", voted, NAMED):
        return False
    return match.take("first", pair[:1], NAMED) and match.take("second", pair[1:], NAMED)


def _complete(shape: Shape, columns: dict[str, Column], match: Match, needs: Mapping[Role, Kinds]) -> None:
    """Find what the shape may have besides its needs: label, prompt of pairs, system, history, tools, context."""
    rest = {name: column for name, column in columns.items() if name not in match.roles}
    if "completion" in needs or "messages" in needs:
        _label(shape, rest, match)
        if {"chosen", "rejected"} <= {column.key for column in rest.values()}:
            match.doubt("the records also hold chosen and rejected answers")
        if "messages" in needs and (more := [column.name for column in _named(rest, "messages", TURNS)]):
            match.doubt(f"{_list(more)} could be the conversation as well")
    elif "prompt" not in needs:
        whole = any(columns[name].kind in TURNS for name in match.roles)
        kinds = frozenset({"text", "transcript", "message", "empty", *TURNS})
        found, confidence = _find(shape, rest, "prompt", kinds)
        if not whole or confidence == OWN:
            match.take("prompt", found or _named(rest, "prompt", kinds), OWN if found and confidence == OWN else NAMED)
        if _judging(shape, rest, "label") and (single := _named(rest, "completion", SPEECH)):
            match.doubt(f"{_list(column.name for column in single)} could be a single answer with a label")
    for role, kinds in EXTRAS.items():
        own = [column for column in rest.values() if shape.own.get(column.name) == role]
        named = _named(rest, role, kinds)
        if own or shape.strings != "text":
            usable = [column for column in own or named if column.name not in match.roles]
            match.take(role, usable, OWN if own else NAMED)


def _judging(shape: Shape, columns: Mapping[str, Column], role: Role) -> list[Column]:
    """Columns that hold judgements and that the shape or their names say to be ``role``."""
    prefix = shape.label_prefix
    named = [column for name, column in columns.items() if (name.startswith(prefix) if prefix else column.named(role))]
    return [column for column in named if judgements(column)]


def _label(shape: Shape, columns: dict[str, Column], match: Match) -> None:
    own = [column for column in columns.values() if shape.own.get(column.name) == "label"]
    others = [column for column in _judging(shape, columns, "label") if column not in own]
    # A shape's own column of nothing but true and false is meant by whoever wrote it.
    if len(own) == 1 and all(isinstance(value, bool) for value in own[0].values) and own[0].values:
        others = []
    if match.take("label", own + others, OWN if own else NAMED):
        opposite = [column.name for column in columns.values() if column.key in OPPOSITES and judgements(column)]
        if opposite and not own:
            match.doubt(f"{_list(opposite)} may say which answers are bad")


def _guess(columns: dict[str, Column]) -> Match:
    """What an unknown table may hold, to begin a mapping with: two columns of texts, one of labels."""
    match = Match(confidence=0.0)
    for role in ("prompt", "completion"):
        match.take(
            role, [column for column in columns.values() if column.named(role) and column.kind == "text"][:1], 0.0
        )
    missing: list[Role] = [role for role in ("prompt", "completion") if role not in match.roles.values()]
    texts = [
        column
        for column in columns.values()
        if column.name not in match.roles and column.kind == "text" and column.prose
    ]
    if len(texts) == len(missing):
        match.roles.update(zip((column.name for column in texts), missing, strict=True))
    rest = [column for column in columns.values() if column.name not in match.roles]
    labels = [column for column in rest if (counts := judgements(column)) and reads(counts)]
    named = [column for column in labels if column.named("label")]
    match.take("label", (named or labels)[:1] if len(named or labels) == 1 else (), 0.0)
    match.doubts.append("no shape fits: say which column holds the prompt, the answer and the label")
    return match


def _form(name: str, shape: Shape, columns: Mapping[str, Column], match: Match) -> Form:
    roles = {column: match.roles.get(column, "ignore") for column in columns}
    media = [column.name for column in columns.values() if column.key in MEDIA and column.values]
    found = [f"{column!r} is {WORDS[role]}" for column, role in match.roles.items()]
    if foreign := [column.name for column in columns.values() if column.is_python]:
        match.doubt(f"{_list(foreign)} holds lists in Python's notation: export it as JSON")
    because = "; ".join([*match.doubts, ", ".join(found)] if found else match.doubts)
    if media:
        because += f"; {_list(media)} cannot be trained and is left out"
    return Form(name, shape.title, roles, match.confidence, because, _paired(roles))


def _paired(roles: Mapping[str, Role]) -> bool:
    return {"chosen", "rejected"} <= {*roles.values()} or "preferred" in roles.values()


def choose(forms: Sequence[Form], choices: DataChoices) -> Form:
    """The form that ``choices`` names, with its columns where those are named; else the likeliest.

    Raises:
        UserError: there is no such shape or column (``MisfitError``), or two columns are to hold the same.
    """
    if choices.shape is not None and choices.shape not in SHAPES:
        raise UserError(f"There is no shape {choices.shape!r}", mend=f"Choose one of {', '.join(SHAPES)}")
    by_shape = {form.shape: form for form in forms}
    form = by_shape.get(choices.shape or forms[0].shape)
    if form is None and choices.columns and SHAPES[str(choices.shape)].flatten is None:
        form = msgspec.structs.replace(
            by_shape["table"], shape=str(choices.shape), title=SHAPES[str(choices.shape)].title
        )
    if form is None:
        raise MisfitError(
            f"The records do not look like the shape {choices.shape!r}",
            mend=f"Choose one of {', '.join(by_shape)}, or say what each column holds",
        )
    return _mapped(form, choices.columns, labelled=choices.unlabelled == "refuse") if choices.columns else form


def _mapped(form: Form, columns: Mapping[str, Role], *, labelled: bool) -> Form:
    if unknown := [name for name in columns if name not in form.columns]:
        raise MisfitError(f"There is no column {_list(unknown)}", mend=f"The columns are {_list(form.columns)}")
    roles: dict[str, Role] = {name: columns.get(name, "ignore") for name in form.columns}
    held = [role for role in roles.values() if role not in {"ignore", "context"}]
    if twice := next((role for role in held if held.count(role) > 1), None):
        both = _list(name for name, role in roles.items() if role == twice)
        raise UserError(f"{both} cannot each be {WORDS[twice]}", mend="Choose one of them")
    answered = any(some <= set(held) for some in ANSWERS)
    paired = _paired(roles)
    if not answered:
        because = "no column is mapped to the answer"
    elif labelled and not paired and "label" not in held:
        because = "no column is mapped to the label"
    else:
        return Form(form.shape, form.title, roles, OWN, "mapped by you", paired)
    return Form(form.shape, form.title, roles, 0.0, because, paired)


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
