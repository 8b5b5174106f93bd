"""One pass over a source: every record becomes rows of a store, whatever is wrong with it."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices, Role
from kto_tui.data.containers.kind import place
from kto_tui.data.containers.reader import Reader
from kto_tui.data.containers.sniff import Sniffed, sniff
from kto_tui.data.intake import Intake, OneByOne
from kto_tui.data.lane import UTF8
from kto_tui.data.lanes import Lanes, lanes_for
from kto_tui.data.records import Record, Unreadable
from kto_tui.data.report import Progressed
from kto_tui.data.shapes.form import Form
from kto_tui.data.shapes.recognise import MisfitError, choose, recognise
from kto_tui.data.store import VERSION, About, Store, open_store
from kto_tui.data.storing import StoreWriter
from kto_tui.data.trainable import IMITATE
from kto_tui.errors import UserError
from kto_tui.paths import cache_home, keep_newest
from kto_tui.units import MIB

# How many records are shown at once and most often tell how all are read, and how many are looked at where they do not.
SAMPLE_RECORDS = 200
SAMPLES = (SAMPLE_RECORDS, 10 * SAMPLE_RECORDS)
SAMPLE_BYTES = 64 * MIB
KEPT_STORES = 16
ABANDONED_SECONDS = 86_400
TELL_SECONDS = 0.1
# What of the choices decides how records become rows; the rest are views over the same store.
READING = ("shape", "columns", "encoding", "config", "split", "unlabelled")
# Below this somebody has to choose how records are read.
SURE = 0.5
# Roles that make rows, given a label or an order of the answers.
ENOUGH: tuple[set[Role], ...] = (
    {"prompt", "completion"}, {"messages"}, {"chosen", "rejected"}, {"first", "second", "preferred"}
)  # fmt: skip
Tell = Callable[[Progressed], None]
Item = Record | Unreadable


class UnclearError(UserError):
    """Nobody can tell from the records alone which column holds what."""


def _key(sniffed: Sniffed, choices: DataChoices) -> str:
    """A digest of the source's identity and of how it is read; another size or time of change is another source."""
    stats = [
        (os.fsencode(file), (stat := file.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for file in sniffed.files
    ]
    said = (VERSION, stats, [getattr(choices, name) for name in READING])
    return hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()


def sample_of(reader: Reader, items: Iterator[Item], choices: DataChoices, path: Path) -> tuple[list[Item], Form]:
    """The first items of a reader, and how their records are most likely read, be it clear or not.

    Where the first ones do not say, what with columns that begin late, more are looked at.

    Raises:
        UserError: there are no records among them, or the choices do not suit them.
    """
    first: list[Item] = []
    for most in SAMPLES:
        while len(first) < most and (len(first) < SAMPLE_RECORDS or reader.bytes_done < SAMPLE_BYTES):
            if (item := next(items, None)) is None:
                break
            first.append(item)
        last = most == SAMPLES[-1] or len(first) < most
        try:
            form = _likely_form(first, choices, path)
        except UserError:
            if last:
                raise
        else:
            if last or is_clear(form, choices):
                break
    return first, form


def _likely_form(items: list[Item], choices: DataChoices, path: Path) -> Form:
    if records := [item.value for item in items if isinstance(item, Record)]:
        try:
            return choose(recognise(records, labelled=choices.unlabelled == "refuse"), choices)
        except UserError as error:
            raise type(error)(error.what, mend=error.mend, where=place(path)) from None
    item = next((item for item in items if isinstance(item, Unreadable)), None)
    what = "The file holds no record" if item is None else f"No record can be read: {item.problem}"
    raise UserError(what, mend="Check what was saved", where=place(path, item.line if item else None))


def is_clear(form: Form, choices: DataChoices) -> bool:
    """Whether records can be read so: columns for prompt and answer are known, and surely, or somebody has said so."""
    chosen = choices.shape is not None or bool(choices.columns)
    return _answers(form) and (chosen or form.confidence >= SURE)


def lacks_labels(form: Form) -> bool:
    """Whether columns for prompt and answer are known and none says which answers are good."""
    return _answers(form) and not form.paired and "label" not in form.columns.values()


def _answers(form: Form) -> bool:
    return any(needed <= set(form.columns.values()) for needed in ENOUGH)


def _require_clear(form: Form, choices: DataChoices, path: Path) -> None:
    """Refuse records of which nobody has said yet which columns hold what."""
    if not is_clear(form, choices):
        names = ", ".join(islice(form.columns, 12)) + (", ..." if len(form.columns) > 12 else "")
        mend = "Use --map COLUMN=prompt,COLUMN=completion,COLUMN=label, [choices] columns, or m on the Data screen"
        if lacks_labels(form):
            mend += f". {IMITATE}"
        raise UnclearError(
            f"Somebody must say what the columns ({names}) hold: {form.because}",
            mend=mend,
            where=place(path),
        )


def scan(path: Path, choices: DataChoices, tell: Tell) -> Store:
    """The store of a source, made now unless it is there already.

    Raises:
        UserError: the source cannot be read as a whole, or not without further choices.
    """
    sniffed = sniff(path, choices)
    key = _key(sniffed, choices)
    file = cache_home() / "data" / f"{key[:32]}.arrow"
    if (found := open_store(file, key)) is not None:
        file.touch()
        return found
    reader = Reader(sniffed)
    first, form = sample_of(reader, items := iter(reader), choices, path)
    _require_clear(form, choices, path)
    chat = _is_chat(first, form)
    taking: Lanes | OneByOne
    if chat is not None and (count := lanes_for(sniffed)):
        taking = Lanes(sniffed, form, count, chat=chat)
    else:
        taking = OneByOne(reader, chain(first, items), form)
    try:
        with StoreWriter(file) as writer, closing(taking.__iter__()) as batches:
            due = 0.0
            for batch in batches:
                writer.write(batch)
                if (now := time.monotonic()) >= due:
                    due = now + TELL_SECONDS
                    tell(_progress(taking, sniffed))
            tell(_progress(taking, sniffed))
            if _key(sniffed, choices) != key:
                mend = "Wait until nothing writes to it any more, then read it again"
                raise UserError("It changed while it was read", mend=mend, where=place(path))
            about = About(
                key=key,
                files=tuple(map(place, sniffed.files)),
                format=(sniffed.title, sniffed.confidence, sniffed.because),
                form=form,
                labels=tuple(taking.labels.labels),
                values=tuple(taking.labels.values),
                records=taking.records,
                bytes_read=sniffed.bytes_total,
            )
            writer.finish(about)
        _prune(file.parent)
    except OSError as error:
        raise UserError(
            f"The rows cannot be stored ({error.strerror or error})",
            mend="Free some disk space there, or set KTO_TUI_HOME to another place",
            where=str(file.parent),
        ) from None
    store = open_store(file, key)
    if store is None:
        raise UserError("The stored rows cannot be read back", mend="Check that disk", where=str(file))
    return store


def scan_apart(path: Path, choices: DataChoices, tell: Tell) -> Store:
    """The store of a held-out file: read as ``choices`` about the training file say, or as it is of itself.

    Raises:
        UserError: as ``scan``.
    """
    own = msgspec.structs.replace(choices, shape=None, columns={}, encoding=None)
    # What is UTF-8 is so by design, whatever the training file is.
    if choices.encoding is not None and sniff(path, own).encoding == UTF8:
        choices = msgspec.structs.replace(choices, encoding=None)
    try:
        return scan(path, choices, tell)
    except MisfitError:
        return scan(path, own, tell)


def _is_chat(items: list[Item], form: Form) -> bool | None:
    """Whether the first row there is is chat; None where the sample has none."""
    intake = Intake(form)
    for item in items:
        intake.take(item)
        if intake.chat is not None:
            break
    return intake.chat


def _progress(taking: OneByOne | Lanes, sniffed: Sniffed) -> Progressed:
    return Progressed(phase="reading", bytes_done=taking.bytes_done, bytes_total=sniffed.bytes_total, rows=taking.rows)


def _prune(folder: Path) -> None:
    """Keep the stores that were used last, with what lies beside them; nothing that a killed program left."""
    keep_newest(folder, "*.arrow", KEPT_STORES)
    kept = {path.stem for path in folder.glob("*.arrow")}
    for path in folder.iterdir():
        unfinished = path.name.startswith(".")
        with contextlib.suppress(FileNotFoundError):  # another program tidies up too
            if path.stat().st_mtime < time.time() - ABANDONED_SECONDS if unfinished else path.name[:32] not in kept:
                path.unlink()
