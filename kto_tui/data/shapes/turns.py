"""One reader for whatever people keep a conversation in: messages in any notation, pairs, JSON text of either."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kto_tui.data.rows import Message, MessageRole
from kto_tui.data.shapes.form import RowProblemError
from kto_tui.data.shapes.transcript import parse

Turns = tuple[Message, ...]
Speech = Callable[[Any, str, MessageRole], Turns]

ROLES: dict[str, MessageRole] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user", "customer": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
    "chatgpt": "assistant", "chatbot": "assistant", "agent": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "tool_response": "tool",
    "function_response": "tool", "tool_result": "tool",
}  # fmt: skip
# Turns whose text is the JSON of the calls that an assistant makes (LLaMA-Factory's ShareGPT).
CALLS = {"function_call", "tool_call", "tool_calls"}
SPEAKER_KEYS = ("role", "from", "author", "speaker", "sender")
TEXT_KEYS = ("content", "value", "text", "message")
# What a value of a wrong type is called.
KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"), ((int, float), "a number"), (str, "text"), (Mapping, "an object"),
    ((list, tuple), "a list"),
)  # fmt: skip
JSON_MESSAGES = re.compile(r'\[\s*\{\s*"(?:role|content|from|value)"\s*:')
LANGUAGE = ("text", "input_text", "output_text", "refusal")


def unreadable(column: str, value: object, wanted: str) -> RowProblemError:
    """The problem that ``column`` holds ``value`` where ``wanted`` was expected."""
    kind = next((name for types, name in KINDS if isinstance(value, types)), type(value).__name__)
    return RowProblemError("unreadable", f"{column!r} holds {kind}, not {wanted}")


def turns(value: object, column: str) -> Turns:
    """The messages that ``value`` holds; ``column`` is named where it holds something else.

    Args:
        value: messages (role and content, from and value, author and text ...), one message, pairs of a question and
            its answer, JSON text of any of these, or a transcript; None and empty text: no messages.
        column: where it stands.

    Raises:
        RowProblemError: it is none of these, a role is unknown, or a content is not text.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        if not value.strip():
            return ()
        if found := parse(value):
            return found
        value = _decoded(value, column, "messages")
    if isinstance(value, Mapping):
        value = (value,)
    if not isinstance(value, list | tuple):
        raise unreadable(column, value, "messages")
    if value and isinstance(value[0], list | tuple):
        return _pairs(value, column)
    return tuple([_message(item, column) for item in value])


def spoken(value: object, column: str, role: MessageRole) -> Turns:
    """As ``turns``, but text that is no JSON of messages is one message by ``role``."""
    if value is None:
        return (Message(role, ""),)
    if isinstance(value, str):
        found = messages_in(value)
        return (Message(role, value),) if found is None else turns(found, column)
    return turns(value, column)


def messages_in(text: str) -> list[Any] | None:
    """The messages that ``text`` is the JSON of, as CSV files have them; None where it is anything else."""
    if text[:1] != "[" or not JSON_MESSAGES.match(text):
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def scripted(value: object, column: str, role: MessageRole) -> Turns:
    """As ``spoken``, but a transcript is read as its turns."""
    return (parse(value) if isinstance(value, str) else ()) or spoken(value, column, role)


def _decoded(text: str, column: str, wanted: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise RowProblemError("unreadable", f"{column!r} holds text that is no JSON of {wanted}") from None


def _pairs(value: Sequence[Any], column: str) -> Turns:
    found: list[Message] = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RowProblemError("unreadable", f"{column!r} holds something else than pairs of two texts")
        found += (Message("user", pair[0]), Message("assistant", pair[1]))
    return tuple(found)


def _message(item: object, column: str) -> Message:
    if type(item) is dict and len(item) == 2:  # the usual message, and nine tenths of all time are spent here
        role, content = item.get("role"), item.get("content")
        if role is None:
            role, content = item.get("from"), item.get("value")
        if type(role) is str and type(content) is str and (known := ROLES.get(role)) is not None:
            return Message(known, content)
    if not isinstance(item, Mapping):
        raise unreadable(column, item, "a message")
    role = _first(item, SPEAKER_KEYS)
    if not isinstance(role, str):
        raise RowProblemError("unreadable", f"a message in {column!r} does not say whose it is")
    name = role if role in ROLES else role.strip().lower()
    content = _first(item, TEXT_KEYS)
    if name in CALLS:
        return Message("assistant", "", _calls(content, column))
    if name not in ROLES:
        raise RowProblemError("roles", f"{column!r} has a turn by {role[:40]!r}, which is no role known here")
    called = item.get("tool_calls") or item.get("function_call")
    return Message(
        ROLES[name],
        _text(content, column),
        _calls(called, column) if called else "",
        _word(item.get("name")),
        _word(item.get("tool_call_id")),
    )


def _first(item: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    for key in keys:
        if (value := item.get(key)) is not None:
            return value
    return None


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(content: object, column: str) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        raise unreadable(column, content, "the text of a message")
    return "".join(_part(part, column) for part in content)


def _part(part: object, column: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise unreadable(column, part, "a part of a message")
    kind = part.get("type", "text")
    text = part.get("text") or part.get("refusal") or ""
    if kind not in LANGUAGE or not isinstance(text, str):
        raise RowProblemError("unreadable", f"{column!r} holds a part of type {str(kind)[:40]!r}; only text is trained")
    return text


def _calls(value: object, column: str) -> str:
    """JSON text of a list of calls; a bare function, as older formats have it, is wrapped."""
    calls = _json_list(value, column, "calls of tools")
    return _encoded([call if "function" in call else {"type": "function", "function": call} for call in calls], column)


def tool_list(value: object, column: str) -> str:
    """JSON text of a list of tools, empty where there are none.

    Raises:
        RowProblemError: ``value`` is neither a list of objects nor JSON text of one.
    """
    if value is None or value == "":
        return ""
    found = _json_list(value, column, "a list of tools")
    return _encoded(found, column) if found else ""


def _json_list(value: object, column: str, wanted: str) -> list[Mapping[str, Any]]:
    if isinstance(value, str):
        value = _decoded(value, column, wanted)
    if value is None:
        return []
    found = [value] if isinstance(value, Mapping) else value
    if not isinstance(found, list | tuple) or not all(isinstance(item, Mapping) for item in found):
        raise unreadable(column, value, wanted)
    return list(found)


def _encoded(value: list[Mapping[str, Any]], column: str) -> str:
    # As Python's json writes it; what Arrow filled up with null to make all rows alike goes.
    try:
        return json.dumps(_without_nulls(value), ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, TypeError):
        raise RowProblemError("unreadable", f"{column!r} holds tools that cannot be written as JSON") from None


def _without_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value
