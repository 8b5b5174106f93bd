"""``data convert``: the rows of any source as a file of another kind, whole or not at all."""

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kto_tui.atomic import as_usual, atomic_file
from kto_tui.choices import DataChoices
from kto_tui.commands.data.progress import progress
from kto_tui.commands.data.table import write_parquet
from kto_tui.commands.data.verdict import polarity
from kto_tui.commands.follow import say
from kto_tui.commands.printing import print_json
from kto_tui.data.checks.facts import Facts
from kto_tui.data.checks.fixes import FIXES, keep
from kto_tui.data.opening import Opened, open_selection
from kto_tui.data.report import Progressed
from kto_tui.data.scan import Tell, scan_apart
from kto_tui.data.selection import Selection
from kto_tui.data.shapes.write import as_record
from kto_tui.data.sources import for_heldout, for_training
from kto_tui.data.trainable import refuse
from kto_tui.errors import UserError

Records = Callable[[], Iterator[dict[str, Any]]]
TELL_ROWS = 256


def _write_jsonl(file: BinaryIO, records: Records) -> None:
    encode = msgspec.json.Encoder().encode
    file.writelines(encode(record) + b"\n" for record in records())


WRITERS: dict[str, Callable[[BinaryIO, Records], None]] = {".jsonl": _write_jsonl, ".parquet": write_parquet}


def convert(
    data: str, out: Path, choices: DataChoices, heldout: str | None, target: str, *, force: bool, as_json: bool
) -> int:
    """Write the rows that would be trained on to ``out``.

    Raises:
        UserError: training would refuse the source, or the target cannot say one of its rows; ``out`` exists, is part
            of the source, has another ending than ``WRITERS``, or cannot be written.
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError("Its ending says no kind of file", mend=f"Use {' or '.join(WRITERS)}", where=str(out))
    path, reading = for_training(data, choices)
    _require_apart(out, path)
    if os.path.lexists(out) and (not force or out.is_dir()):
        raise UserError(
            "This exists already", mend="Choose another name, or replace a file with --force", where=str(out)
        )
    with progress() as tell:
        held = None if heldout is None else scan_apart(*for_heldout(heldout, choices), tell).facts()
        found = open_selection(path, reading, tell, held)
        _require_trainable(found, path)
        rows = found.selection
        left_out = _left_out(found, reading, held)
        converted = _Converted(rows, target, tell)
        try:
            with atomic_file(out) as file:
                write(file, converted)
                os.fchmod(file.fileno(), as_usual(0o666))
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"It cannot be written ({reason})", mend="Choose another place", where=str(out)) from None
    if as_json:
        told = {"left_out": left_out, "undesirable_left_out": converted.unsaid}
        print_json({"out": str(out), "to": target, "rows": converted.written, **told})
        return 0
    say(f"{converted.written:,} rows written to {out}, as {target}")
    for name, count in left_out.items():
        say(f"{count:,} rows left out, as you accepted with --fix {name}")
    if converted.unsaid:
        say(
            f"{converted.unsaid:,} undesirable rows left out: a file for supervised fine-tuning holds good answers only"
        )
    return 0


class _Converted:
    """Call it for the records, as often as need be. ``written``: so many; ``unsaid``: undesirable and left out."""

    def __init__(self, rows: Selection, target: str, tell: Tell) -> None:
        self._rows = rows
        self._target = target
        self._tell = tell
        self.written = self.unsaid = 0

    def __call__(self) -> Iterator[dict[str, Any]]:
        self.written = self.unsaid = 0
        of = len(self._rows)
        for done, row in enumerate(self._rows):
            if done % TELL_ROWS == 0:
                self._tell(Progressed(phase="writing", bytes_done=done, bytes_total=of, rows=done))
            if self._target == "mlx" and not row.label:
                self.unsaid += 1
                continue
            try:
                record = as_record(row, self._target)
            except UserError as error:
                raise UserError(error.what, mend=error.mend, where=self._place(row.number)) from None
            self.written += 1
            yield record

    def _place(self, number: int) -> str:
        store = self._rows.store
        row = store.row(number)
        return f"{store.about.files[row.file]}:{row.line}"


def _require_apart(out: Path, path: Path) -> None:
    """The person's own files are never written, and no folder gets a shard more."""
    target, source = Path(os.path.realpath(out)), Path(os.path.realpath(path))
    if target == source or source in target.parents:
        raise UserError("This is part of the data it would be made from", mend="Choose another place", where=str(out))


def _require_trainable(found: Opened, path: Path) -> None:
    """As for training, but what mends it is said in flags."""
    facts, reading = found.facts, found.reading
    if reading.labels and not found.confirmed:
        flags = shlex.join(polarity((value, reading.label(value)) for value in facts.values))
        what = f"Nobody has confirmed how the labels are read: {reading.because}"
        raise UserError(what, mend=f"If that is right, add {flags}", where=str(path))
    if found.selection.bad.any():
        try:
            refuse(found.store, facts, found.selection.bad)
        except UserError as error:
            mend = "Mend the file, or add what kto-tui data check names at its end"
            raise UserError(error.what, mend=mend, where=error.where) from None
    if not len(found.selection):
        raise UserError("No row is left to be written", mend="Take back a fix", where=str(path))


def _left_out(found: Opened, choices: DataChoices, held: Facts | None) -> dict[str, int]:
    """How many rows each accepted fix leaves out, those that an earlier one has left out not counted."""
    counts: dict[str, int] = {}
    before = len(found.facts)
    for i, name in enumerate(choices.fixes):
        some = msgspec.structs.replace(choices, fixes=choices.fixes[: i + 1])
        after = int(keep(found.facts, found.reading, some, heldout=held).sum())
        if after < before:
            counts[name] = before - after
        before = after
    if len(found.selection) < before:  # by fixes that look at texts, told only all together
        counts[", ".join(name for name in choices.fixes if FIXES[name].sees != "facts")] = before - len(found.selection)
    return counts
