"""The texts of a row: all of them, the question, the answer; and the row with all of them changed."""

from collections.abc import Callable, Iterator

import msgspec

from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RawRow, Text


def texts(raw: RawRow) -> Iterator[str]:
    """Every text a person or a model wrote: contents, and the strings inside tool calls."""
    for part in (raw.prompt, raw.completion):
        if isinstance(part, str):
            yield part
            continue
        for message in part:
            yield message.content
            if message.tool_calls:
                yield from _strings(_decoded(message.tool_calls))


def changed(raw: RawRow, change: Callable[[str], str]) -> RawRow:
    """``raw`` with ``change`` applied to each of ``texts``; ``raw`` itself where that changes nothing."""
    prompt, completion = _changed(raw.prompt, change), _changed(raw.completion, change)
    if prompt == raw.prompt and completion == raw.completion:
        return raw
    return msgspec.structs.replace(raw, prompt=prompt, completion=completion)


def question(prompt: Text) -> str:
    """What the completion answers: the prompt's last user turn, or the whole of a plain prompt."""
    if isinstance(prompt, str):
        return prompt
    for message in reversed(prompt):
        if message.role == "user":
            return message.content
    return ""


def beginning(completion: Text) -> str:
    """The text the completion begins with."""
    if isinstance(completion, str):
        return completion
    return completion[0].content if completion else ""


def ending(completion: Text) -> str:
    """The text the completion ends with; empty where it ends with the call of a tool."""
    if isinstance(completion, str):
        return completion
    return completion[-1].content if completion and not completion[-1].tool_calls else ""


def _changed(part: Text, change: Callable[[str], str]) -> Text:
    if isinstance(part, str):
        return change(part)
    return tuple(_changed_message(message, change) for message in part)


def _changed_message(message: Message, change: Callable[[str], str]) -> Message:
    content, calls = change(message.content), message.tool_calls
    if calls:
        before = _decoded(calls)
        after = _mapped(before, change)
        if after != before:
            calls = after if isinstance(after, str) else msgspec.json.encode(after).decode()
    if content == message.content and calls == message.tool_calls:
        return message
    return msgspec.structs.replace(message, content=content, tool_calls=calls)


def _decoded(calls: str) -> object:
    """Tool calls are JSON; what is not is one text."""
    try:
        found: object = msgspec.json.decode(calls)
    except (msgspec.DecodeError, RecursionError):
        return calls
    return found if isinstance(found, list | dict) else calls


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _mapped(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    return value
