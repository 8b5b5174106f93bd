"""Requests to a running worker: one JSON line each, appended to ``control.jsonl``, read once per step."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from kto_tui.atomic import ends_torn
from kto_tui.recipe import Value

Action = Literal["pause", "stop", "abort"]
Setting = Value | tuple[str, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request.

    Attributes:
        action: ``pause``: save a checkpoint and end, to go on later; ``stop``: save the adapter as it is and end;
            ``abort``: end without saving; ``run``: go on, whatever was asked before; ``mark``: note ``text`` at this
            step; ``set``: use ``value`` for ``name`` from now on.
        text: of a mark.
        name: of what is set, see ``SETTABLE``.
        value: it gets.
    """

    action: Literal["run", "pause", "stop", "abort", "mark", "set"]
    text: str = ""
    name: str = ""
    value: Setting = None


def request(path: Path, asked: Request) -> None:
    """Ask the worker of the run whose control file is ``path``."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"\n" * ends_torn(descriptor) + msgspec.json.encode(asked) + b"\n")
    finally:
        os.close(descriptor)


class ControlReader:
    """Reads the requests that arrived since the last look.

    Attributes:
        settings: the newest value of everything that was ever set, so that a resumed run has them too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._action: Action | None = None
        self._marks: list[str] = []
        self.settings: dict[str, Setting] = {}

    def latest(self) -> Action | None:
        """The request in force, if any: an abort before anything else; lines that are none are passed over."""
        self._read()
        return self._action

    def marks(self) -> list[str]:
        """The marks since the last call."""
        self._read()
        found, self._marks = self._marks, []
        return found

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except OSError:
            return
        end = block.rfind(b"\n") + 1
        self._offset += end
        for line in block[:end].splitlines():
            try:
                self._take(msgspec.json.decode(line, type=Request))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue

    def _take(self, asked: Request) -> None:
        match asked.action:
            case "run":
                # What was asked of an earlier process, its marks too, was heard then.
                self._action, self._marks = None, []
            case "mark":
                self._marks.append(asked.text)
            case "set":
                self.settings[asked.name] = asked.value
            case ending if self._action != "abort":
                self._action = ending
