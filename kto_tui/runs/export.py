"""The figures of a run as a file for other programs: CSV or JSON, every logged step."""

import csv
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kto_tui.atomic import atomic_file
from kto_tui.errors import UserError
from kto_tui.runs.events import Evaluated, StepCompleted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.history import history

STEP_COLUMNS = tuple(StepCompleted.__struct_fields__)
HELDOUT = "heldout_"
HELDOUT_COLUMNS = tuple(f"{HELDOUT}{name}" for name in Evaluated.__struct_fields__ if name not in {"t", "step"})
COLUMNS = ("step", "t", *(name for name in STEP_COLUMNS if name not in {"step", "t"}), *HELDOUT_COLUMNS)


def rows(run: RunFolder) -> Iterator[dict[str, Any]]:
    """A row per logged step in increasing order, with the held-out figures of that step; None is not known.

    Keys are ``COLUMNS``: fields of ``StepCompleted`` (t in Unix seconds), then of ``Evaluated``. An evaluation at a
    step that was not logged has a row of its own.
    """
    evaluations = {event.step: event for event in history(run.events) if isinstance(event, Evaluated)}
    waiting = deque(evaluations.values())
    for event in history(run.events):
        if isinstance(event, StepCompleted):
            while waiting and waiting[0].step < event.step:
                yield _row(None, waiting.popleft())
            same = bool(waiting) and waiting[0].step == event.step
            yield _row(event, waiting.popleft() if same else None)
    yield from (_row(None, evaluated) for evaluated in waiting)


def _row(step: StepCompleted | None, evaluated: Evaluated | None) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS)
    if evaluated is not None:
        row |= {"step": evaluated.step, "t": evaluated.t}
        row |= {name: getattr(evaluated, name.removeprefix(HELDOUT)) for name in HELDOUT_COLUMNS}
    if step is not None:
        row |= {name: getattr(step, name) for name in STEP_COLUMNS}
    return row


def write_csv(run: RunFolder, file: BinaryIO) -> None:
    """A line of column names, then ``rows``; empty is not known, numbers are exact."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows(run))
    text.detach()


def write_json(run: RunFolder, file: BinaryIO) -> None:
    """An object with the run's id and its ``rows``, one a line."""
    encode = msgspec.json.Encoder().encode
    file.write(b'{"run":' + encode(run.id) + b',"steps":[')
    file.writelines((b",\n" if index else b"\n") + encode(row) for index, row in enumerate(rows(run)))
    file.write(b"\n]}\n")


def write_new(path: Path, write: Callable[[BinaryIO], None], *, force: bool) -> None:
    """Let ``write`` fill a new file, which appears when it is whole.

    Raises:
        UserError: it exists and is not to be replaced, or cannot be written.
    """
    require_new([path], force=force)
    try:
        with atomic_file(path) as file:
            write(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"It cannot be written ({reason})", mend="Choose another place", where=str(path)) from None


def require_new(paths: Iterable[Path], *, force: bool) -> None:
    """Raise a UserError when one of ``paths`` exists and is not to be replaced, or is a folder."""
    for path in paths:
        if os.path.lexists(path) and (not force or path.is_dir()):
            raise UserError(
                "This exists already", mend="Choose another name, or replace a file with --force", where=str(path)
            )
