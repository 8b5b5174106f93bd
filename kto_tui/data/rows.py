"""Reads KTO rows from JSONL: every row is checked, and a bad one is named by file and line."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from kto_tui.errors import UserError


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chat turn. ``tool_calls``: JSON text of the list of calls an assistant makes, empty without."""

    role: Literal["system", "user", "assistant", "tool"]
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
    """All rows of one file and its SHA-256."""

    path: Path
    rows: tuple[Row, ...]
    fingerprint: str

    @property
    def desirable(self) -> int:
        """How many rows are labelled true."""
        return sum(row.label for row in self.rows)

    @property
    def undesirable(self) -> int:
        """How many rows are labelled false."""
        return len(self.rows) - self.desirable


def text_of(part: str | tuple[Message, ...]) -> str:
    """A prompt or completion as plain text for people."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message.role}: {message.content}" for message in part)


_ROW_HINT = (
    'Each line needs prompt, completion and label, for example {"prompt": "...", "completion": "...", "label": true}'
)


def _turns(value: object, name: str, place: str) -> str | tuple[Message, ...]:
    if isinstance(value, str):
        if not value.strip():
            raise UserError(f"The {name} is empty", mend="Write one or remove the row", where=place)
        return value
    try:
        turns = msgspec.convert(value, tuple[Message, ...])
    except msgspec.ValidationError as error:
        raise UserError(
            f"The {name} is neither text nor chat messages ({error})",
            mend='Use a string, or a list like [{"role": "user", "content": "..."}]',
            where=place,
        ) from None
    if not turns or not any(turn.content.strip() for turn in turns):
        raise UserError(f"The {name} is empty", mend="Write one or remove the row", where=place)
    return turns


def _row(record: object, place: str, line: int) -> Row:
    if not isinstance(record, dict):
        raise UserError("The line is not a JSON object", mend=_ROW_HINT, where=place)
    fields: dict[str, Any] = record
    for name in ("prompt", "completion"):
        if name not in fields:
            raise UserError(f"The row has no {name}", mend=_ROW_HINT, where=place)
    label = fields.get("label")
    if label is None:
        raise UserError(
            "The row has no label", mend='Add "label": true (thumbs up) or false (thumbs down)', where=place
        )
    if not isinstance(label, bool):
        raise UserError(
            f"The label is {msgspec.json.encode(label).decode()}, neither true nor false",
            mend="Write true for thumbs up or false for thumbs down, without quotes",
            where=place,
        )
    prompt = _turns(fields["prompt"], "prompt", place)
    completion = _turns(fields["completion"], "completion", place)
    if isinstance(prompt, str) != isinstance(completion, str):
        raise UserError(
            "Prompt and completion differ in kind: one is text, the other chat messages",
            mend="Write both as text or both as messages",
            where=place,
        )
    if not isinstance(completion, str) and completion[-1].role != "assistant":
        raise UserError(
            f"The completion ends with the role {completion[-1].role!r}",
            mend="The judged answer must be the assistant's",
            where=place,
        )
    return Row(prompt, completion, label, line)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UserError(
            f"The data file cannot be read ({error.strerror or error})",
            mend="Check the path and its permissions",
            where=str(path),
        ) from None


def read_rows(path: Path) -> Dataset:
    """All rows of a JSONL file.

    Raises:
        UserError: the file is missing, unreadable or empty, a line is not a valid row, or rows of text and of chat
            messages are mixed; the message names file and line.
    """
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises on names that are too long
        raise UserError("This is a folder, not a data file", mend="Name a .jsonl file", where=str(path))
    if not os.path.exists(path):  # noqa: PTH110 - as above
        raise UserError(
            "There is no such data file", mend="Check the path; it is read from this machine", where=str(path)
        )
    if not os.path.isfile(path):  # noqa: PTH113 - as above; a FIFO would wait for a writer for ever
        raise UserError("This is not a regular file", mend="Name a .jsonl file", where=str(path))
    digest = hashlib.sha256()
    rows: list[Row] = []
    for number, line in _lines(path):
        digest.update(line)
        place = f"{path}:{number}"
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"The line is not JSON ({error})", mend=_ROW_HINT, where=place) from None
        rows.append(_row(record, place, number))
        if isinstance(rows[0].prompt, str) != isinstance(rows[-1].prompt, str):
            raise UserError(
                "The file mixes text rows and chat rows",
                mend="Write all rows in the same form as the first",
                where=place,
            )
    if not rows:
        raise UserError("The data file has no rows", mend=_ROW_HINT, where=str(path))
    return Dataset(path, tuple(rows), digest.hexdigest())


def require_both_labels(dataset: Dataset) -> Dataset:
    """``dataset`` itself when both labels occur; KTO learns nothing from one alone."""
    if dataset.desirable == 0 or dataset.undesirable == 0:
        only, missing = ("true", "false") if dataset.undesirable == 0 else ("false", "true")
        raise UserError(
            f"All {len(dataset.rows):,} rows are labelled {only}; KTO needs both thumbs up and thumbs down",
            mend=f"Add rows labelled {missing}",
            where=str(dataset.path),
        )
    return dataset
