"""Requests to a running worker: one JSON line each, appended to ``control.jsonl``, read once per step."""

from pathlib import Path
from typing import Literal

import msgspec

Action = Literal["stop", "abort"]


class Request(msgspec.Struct, frozen=True):
    """``stop``: save the adapter as it is and end; ``abort``: end without saving."""

    action: Action


def request(path: Path, action: Action) -> None:
    """Ask the worker of the run whose control file is ``path``."""
    with path.open("ab", buffering=0) as file:
        file.write(msgspec.json.encode(Request(action)) + b"\n")


class ControlReader:
    """Reads the requests that arrived since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def latest(self) -> Action | None:
        """The request since the last call, if any: an abort before a stop; lines that are none are passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except OSError:
            return None
        end = block.rfind(b"\n") + 1
        self._offset += end
        actions: list[Action] = []
        for line in block[:end].splitlines():
            try:
                actions.append(msgspec.json.decode(line, type=Request).action)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return "abort" if "abort" in actions else actions[-1] if actions else None
