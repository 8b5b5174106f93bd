"""From one record to the judged answers it holds."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from kto_tui.data.shapes.columns import side
from kto_tui.data.shapes.dialogue import answered, check_order, headed, split
from kto_tui.data.shapes.form import Form, RawRow, RowProblemError, Text
from kto_tui.data.shapes.nested import dotted
from kto_tui.data.shapes.shape import SHAPES
from kto_tui.data.shapes.transcript import is_open
from kto_tui.data.shapes.turns import Turns, messages_in, scripted, spoken, tool_list, turns, unreadable
from kto_tui.data.shapes.verdicts import SCALARS, verdicts

Record = Mapping[str, Any]
Rows = tuple[RawRow, ...]
Convert = Callable[[Record], Rows]
# The name of no column; a table may well have one without a name.
NOWHERE = "\0"
# Roles that several columns may have.
UNNAMED = {"ignore", "context"}


def converter(form: Form) -> Convert:
    """The function that turns a record of ``form`` into its rows, one for each different judgement.

    The function raises:
        RowProblemError: the record holds no conversation in order, or a value of a wrong type. Empty texts and missing
            labels are no problems here.
    """
    reader = _Reader(form)
    flatten = SHAPES[form.shape].flatten
    if flatten is dotted and not any("." in column for column, role in form.columns.items() if role != "ignore"):
        flatten = None  # the columns that are used lie open
    read = reader.read
    return read if flatten is None else lambda record: read(flatten(record))


class _Reader:
    """The columns of a form by what they hold, ``NOWHERE`` for what none holds, and the ways to read them."""

    def __init__(self, form: Form) -> None:
        self.columns: dict[str, str] = {role: column for column, role in form.columns.items() if role not in UNNAMED}
        self.contexts = [column for column, role in form.columns.items() if role == "context"]
        self.prompt, self.completion, self.messages, self.label, self.preferred = (
            self._of(role) for role in ("prompt", "completion", "messages", "label", "preferred")
        )
        self.system, self.history, self.tools = (self._of(role) for role in ("system", "history", "tools"))
        ends = ("first", "second") if "preferred" in self.columns else ("chosen", "rejected")
        self.answers = (self._of(ends[0]), self._of(ends[1]))
        strings = SHAPES[form.shape].strings
        self.asking = scripted if strings in {"transcript", "asked"} else spoken
        self.answering = scripted if strings == "transcript" else spoken
        self.heads = not self.columns.keys().isdisjoint({"system", "history"})
        # Plain text stays plain unless a column beside it can only be said in a conversation.
        self.plain = strings == "text" and not self.heads
        self.bare = self.plain and not self.contexts and "tools" not in self.columns
        ways: tuple[tuple[Convert, set[str]], ...] = (
            (self._pair, {*ends}), (self._whole, {"messages"}), (self._single, {"completion"}), (self._nothing, set()),
        )  # fmt: skip
        self.read = next(read for read, needs in ways if needs <= self.columns.keys())

    def _of(self, role: str) -> str:
        return self.columns.get(role, NOWHERE)

    def _nothing(self, record: Record) -> Rows:
        raise RowProblemError("unreadable", f"none of its {len(record)} columns is mapped to the answer")

    def _single(self, record: Record) -> Rows:
        """A prompt and an answer in columns of their own."""
        prompt, completion, label = record.get(self.prompt), record.get(self.completion), record.get(self.label)
        if (
            self.bare and type(prompt) is str and type(completion) is str and type(label) in SCALARS
            and prompt[:1] != "[" and completion[:1] != "["
        ):  # fmt: skip
            return (RawRow(prompt, completion, label),)  # nearly all rows of plain text come this way
        asked = self._asked(record)
        if self._is_plain(asked) and self._is_plain(completion):
            return self._judged(record, asked or "", completion or "")
        given = self._given(asked, completion, self.completion)
        return self._chat(record, *answered(self._prompt(asked), given, self.completion))

    def _whole(self, record: Record) -> Rows:
        """One conversation, whose last answer is judged."""
        return self._chat(record, *split(turns(record.get(self.messages), self.messages), self.messages))

    def _chat(self, record: Record, prompt: Turns, answer: Turns) -> Rows:
        prompt = self._headed(record, prompt)
        check_order(prompt, answer, self.messages if "messages" in self.columns else self.completion)
        return self._judged(record, prompt, answer)

    def _judged(self, record: Record, prompt: Text, completion: Text) -> Rows:
        tools = tool_list(record.get(self.tools), self.tools)
        label = record.get(self.label)
        if type(label) in SCALARS:
            return (RawRow(prompt, completion, label, tools),)
        return tuple([RawRow(prompt, completion, one, tools) for one in verdicts(label, self.label)])

    def _pair(self, record: Record) -> Rows:
        """Two answers to one prompt, the better first; both ways round where people disagree."""
        prompt, *both = self._both(record)
        tools = tool_list(record.get(self.tools), self.tools)
        rows = []
        for better in self._votes(record):
            rows += [RawRow(prompt, both[better], True, tools), RawRow(prompt, both[1 - better], False, tools)]
        return tuple(rows)

    def _votes(self, record: Record) -> list[int]:
        """Which of the two answers is better, each vote once."""
        if "preferred" not in self.columns:
            return [0]
        votes = {side(vote): vote for vote in verdicts(record.get(self.preferred), self.preferred)}
        if None in votes:
            raise RowProblemError("unreadable", f"{self.preferred!r} holds {votes[None]!r}: neither answer is better")
        return [better for better in votes if better is not None]

    def _both(self, record: Record) -> tuple[Text, Text, Text]:
        asked = self._asked(record)
        values = [record.get(column) for column in self.answers]
        first, second = values
        if self._is_plain(asked) and self._is_plain(first) and self._is_plain(second):
            first, second = first or "", second or ""
            cut = 0 if "prompt" in self.columns else _shared(first, second)
            return asked or first[:cut], first[cut:], second[cut:]
        prompt = self._prompt(asked) if "prompt" in self.columns else None
        found = [
            answered(prompt, self._given(asked, value, column), column)
            for value, column in zip(values, self.answers, strict=True)
        ]
        if found[0][0] != found[1][0]:
            raise RowProblemError("roles", f"{' and '.join(map(repr, self.answers))} differ before their last answers")
        before = self._headed(record, found[0][0])
        for column, (_, answer) in zip(self.answers, found, strict=True):
            check_order(before, answer, column)
        return before, found[0][1], found[1][1]

    def _is_plain(self, value: object) -> TypeGuard[str | None]:
        if not self.plain or not (value is None or isinstance(value, str)):
            return False
        return value is None or messages_in(value) is None

    def _asked(self, record: Record) -> object:
        """The value of the prompt, with the context below it."""
        prompt = record.get(self.prompt)
        parts = [(column, value) for column in self.contexts if (value := record.get(column)) not in (None, "")]
        if not parts:
            return prompt
        for column, value in ((self.prompt, prompt), *parts):
            if not isinstance(value, str):
                raise unreadable(column, value, "text, which a prompt with a context has to be")
        return "\n".join([str(prompt), *(value for _, value in parts)])

    def _prompt(self, asked: object) -> Turns:
        return self.asking(asked, self.prompt, "user") if "prompt" in self.columns else ()

    def _given(self, asked: object, value: object, column: str) -> Turns:
        # Where the prompt is a transcript that ends with "Assistant:", a space comes before the answer.
        if isinstance(value, str) and isinstance(asked, str) and self.asking is scripted and is_open(asked):
            value = value.removeprefix(" ")
        return self.answering(value, column, "assistant")

    def _headed(self, record: Record, prompt: Turns) -> Turns:
        if not self.heads:
            return prompt
        system = record.get(self.system)
        if not (system is None or isinstance(system, str)):
            raise unreadable(self.system, system, "text")
        return headed(prompt, system or "", turns(record.get(self.history), self.history), self.system)


def _shared(first: str, second: str) -> int:
    """Where two texts that begin with one prompt part: after their last common line's end, or at their last space."""
    if first == second:
        return 0
    shorter = min(len(first), len(second))
    end = next((at for at in range(shorter) if first[at] != second[at]), shorter)
    return max(first.rfind(" ", 0, end), first.rfind("\n", 0, end) + 1, 0)
