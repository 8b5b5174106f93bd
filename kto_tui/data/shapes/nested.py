"""Nested exports as flat columns: ``data.prompt``, ``annotations.rating``, ``fields.answer``, ``responses.helpful``."""

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from kto_tui.data.shapes.turns import SPEAKER_KEYS, TEXT_KEYS
from kto_tui.data.shapes.verdicts import WITHDRAWN

Flatten = Callable[[Mapping[str, Any]], dict[str, Any]]
DEEPEST = 4
# How Argilla's flat export names the column of a question.
FLAT = ".responses"


def is_message(value: Mapping[str, Any]) -> bool:
    """Whether an object is one chat message."""
    return any(key in value for key in SPEAKER_KEYS) and any(key in value for key in (*TEXT_KEYS, "tool_calls"))


def dotted(record: Mapping[str, Any]) -> dict[str, Any]:
    """Objects inside ``record`` opened: ``{"a": {"b": 1}}`` is the column ``a.b``. Messages stay whole."""
    return dict(_open("", record, DEEPEST))


def _open(prefix: str, value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if depth and item and isinstance(item, Mapping) and not is_message(item):
            yield from _open(f"{prefix}{name}.", item, depth - 1)
        else:
            yield f"{prefix}{name}", item


def label_studio(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of Label Studio's JSON export; a column ``annotations.X`` lists what all people said to control X."""
    flat = dotted({name: value for name, value in task.items() if name != "annotations"})
    for annotation in _objects(task.get("annotations")):
        if annotation.get("was_cancelled"):
            continue
        for result in _objects(annotation.get("result")):
            value = result.get("value")
            if isinstance(value, Mapping):
                said = value.get(str(result.get("type")), value)
                flat.setdefault(f"annotations.{result.get('from_name')}", []).append(said)
    return flat


def argilla(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of Argilla, version 1 or 2 or flat; a column ``responses.X`` lists what all said to question X."""
    flat = dotted({name: value for name, value in record.items() if name not in {"responses", "suggestions"}})
    for name in [name for name, value in flat.items() if name.endswith(FLAT) and isinstance(value, list | None)]:
        said, states = flat.pop(name) or [], flat.pop(f"{name}.status", None) or []
        kept = [one for one, state in zip_longest(said, states) if state not in WITHDRAWN]
        flat[f"responses.{name.removesuffix(FLAT)}"] = kept
    for name, value in _questions(record.get("responses")):
        flat.setdefault(f"responses.{name}", []).append(value)
    for name, value in _questions(record.get("suggestions")):
        flat.setdefault(f"suggestions.{name}", []).append(value)
    return flat


def _questions(answers: object) -> Iterator[tuple[str, Any]]:
    if isinstance(answers, Mapping):  # version 2: by question
        yield from answers.items()
        return
    for answer in _objects(answers):  # version 1: by person, or one suggestion each
        if answer.get("status") in WITHDRAWN:
            continue
        if isinstance(values := answer.get("values"), Mapping):
            yield from values.items()
        elif "question_name" in answer:
            yield str(answer["question_name"]), answer.get("value")


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []
