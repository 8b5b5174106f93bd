"""Rows for people: as they are in a source, sound or not, with what they are read as. The first of them at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.fixes import mend
from kto_tui.data.containers.reader import Reader
from kto_tui.data.containers.sniff import sniff
from kto_tui.data.labels import Reading, Scalar, key
from kto_tui.data.records import Record
from kto_tui.data.rows import text_of
from kto_tui.data.scan import SAMPLE_RECORDS, is_clear, sample_of, scan_apart
from kto_tui.data.selection import Selection, changing, codes, confirm, label_column, read_column, select
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import Form, RawRow, RowProblemError, Text
from kto_tui.data.sources import quietly
from kto_tui.data.store import Store, open_store
from kto_tui.data.tokens.lengths import Lengths, characters_per_token, estimate
from kto_tui.errors import UserError
from kto_tui.methods import Method

if TYPE_CHECKING:
    import numpy as np


# Path and choices of rows that must not be trained on.
Apart = tuple[Path, DataChoices]


class ShownRow(msgspec.Struct, frozen=True):
    """One row as it was found.

    Attributes:
        number: counted from 1 over the source.
        place: ``file:line``.
        prompt: what was asked.
        completion: what was answered; of a row with a problem the raw record.
        value: of the label.
        label: what it is read as; None where it is none.
        tools: JSON text, empty without.
        problem: why it is no row; empty when it is one.
    """

    number: int
    place: str
    prompt: Text
    completion: Text
    value: Scalar
    label: bool | None
    tools: str = ""
    problem: str = ""


class Head(msgspec.Struct, frozen=True):
    """The beginning of a source, before all of it was read.

    Attributes:
        format: the container in words.
        form: how records are read, as far as the first tell.
        reading: of the labels among them.
        confirmed: whether that needs no further word.
        rows: of the first records.
        records: as they are in the file.
        unclear: somebody must say first what the columns hold; there are no rows then.
    """

    format: str
    form: Form
    reading: Reading
    confirmed: bool
    rows: tuple[ShownRow, ...]
    records: tuple[Mapping[str, Any], ...]
    unclear: bool = False


class Kept(msgspec.Struct, frozen=True):
    """What some choices leave.

    Attributes:
        rows: in order, as they are trained on.
        labels: of the same rows, shape (rows,), bool.
    """

    rows: Selection
    labels: "np.ndarray"

    @property
    def desirable(self) -> int:
        """How many are labelled good."""
        return int(self.labels.sum())

    @property
    def undesirable(self) -> int:
        """How many are labelled bad."""
        return len(self.labels) - self.desirable

    def for_method(self, method: Method) -> "Kept":
        """Those that ``method`` trains on: of SFT the good ones."""
        if method == "kto" or not self.undesirable:
            return self
        return Kept(self.rows.of_label(True), self.labels[self.labels])

    def index(self, number: int) -> int | None:
        """Place of the row of that number among them; None where it is left out."""
        numbers = self.rows.numbers
        at = int(numbers.searchsorted(number))
        return at if at < len(numbers) and numbers[at] == number else None


def read_head(path: Path, choices: DataChoices) -> Head:
    """The first 200 records of a source, in well under a second whatever its size.

    Raises:
        UserError: it cannot be read, or not without further choices.
    """
    sniffed = sniff(path, choices)
    first, form = sample_of(reader := Reader(sniffed), iter(reader), choices, path)
    records = [item for item in first[:SAMPLE_RECORDS] if isinstance(item, Record)]
    rows: list[ShownRow] = []
    clear = is_clear(form, choices)
    for record in records if clear else ():
        place = f"{sniffed.files[record.file].name}:{record.line}"
        rows += preview(record.value, form, place, len(rows) + 1)
    reading, confirmed = confirm(Counter(key(row.value) for row in rows), form, choices)
    labels = (None if row.problem else reading.labels.get(key(row.value)) for row in rows)
    labelled = (msgspec.structs.replace(row, label=label) for row, label in zip(rows, labels, strict=True))
    found = tuple(record.value for record in records)
    return Head(sniffed.title, form, reading, confirmed, tuple(labelled), found, unclear=not clear)


def preview(record: Mapping[str, Any], form: Form, place: str = "", number: int = 1) -> Sequence[ShownRow]:
    """What one record yields under ``form``; its label is not read yet."""
    try:
        found = converter(form)(record)
    except RowProblemError as problem:
        return [ShownRow(number, place, "", repr(record), None, None, problem=problem.text)]
    return [
        ShownRow(number + i, place, row.prompt, row.completion, row.label, None, row.tools)
        for i, row in enumerate(found)
    ]


class Browser:
    """Pages and searches through all rows of a store, whatever was decided about them."""

    def __init__(self, store: Path, choices: DataChoices) -> None:
        found = open_store(store)
        if found is None:
            raise UserError("The stored rows are gone", mend="Open the data file again", where=str(store))
        self._store: Store = found
        self._facts = facts = found.facts()
        self.reading, _ = read_column(facts, found.about.form, choices)
        self._labels = codes(facts.labels, self.reading)
        self._values = dict(enumerate(facts.values, start=1))
        self._names = [Path(name).name for name in found.about.files]

    def __len__(self) -> int:
        return len(self._store)

    def row(self, number: int) -> ShownRow:
        """The row of that number.

        Raises:
            IndexError: there is none.
        """
        row = self._store.row(number)
        label = self._labels[row.code] if row.code < len(self._labels) and not row.problem else None
        place = f"{self._names[row.file]}:{row.line}"
        value = self._values.get(row.code)
        return ShownRow(number, place, row.prompt, row.completion, value, label, row.tools, row.problem)

    def kept(self, choices: DataChoices, heldout: Apart | None) -> Kept:
        """The rows that ``choices`` leave. ``heldout``: rows that must not be among them."""
        selection = self._select(choices, heldout)
        return Kept(selection, label_column(self._facts, selection, choices))

    def estimate(self, kept: Kept) -> Lengths:
        """Tokens of the kept rows as their characters, and the scripts of the first of them, let expect."""
        columns, index = self._facts.columns(), kept.rows.numbers - 1
        first = [part for row in kept.rows[:SAMPLE_RECORDS] for part in (row.prompt, row.completion)]
        asked, answered = columns.prompt_characters[index], columns.completion_characters[index]
        per_token = characters_per_token(map(text_of, first))
        return estimate(asked.tolist(), answered.tolist(), kept.labels.tolist(), per_token=per_token)

    def left_out(self, choices: DataChoices, fix: str, heldout: Apart | None) -> "np.ndarray":
        """Numbers of the rows that ``fix`` leaves out and the other choices do not, shape (rows,)."""
        import numpy as np

        others = tuple(name for name in choices.fixes if name != fix)

        def left(fixes: tuple[str, ...]) -> np.ndarray:
            selection = self._select(msgspec.structs.replace(choices, fixes=fixes), heldout)
            return np.union1d(selection.numbers, np.flatnonzero(selection.bad) + 1)

        numbers: np.ndarray = np.setdiff1d(left(others), left((*others, fix)), assume_unique=True)
        return numbers

    def _select(self, choices: DataChoices, heldout: Apart | None) -> Selection:
        held = None
        if heldout is not None and "heldout_overlap" in choices.fixes:
            held = scan_apart(*heldout, quietly).facts()
        return select(self._store, self._facts, self.reading, choices, held)

    def mended(self, number: int, fix: str) -> ShownRow | None:
        """The row of that number after ``fix``; None when that leaves it out."""
        row = self.row(number)
        raw = mend(RawRow(row.prompt, row.completion, None, row.tools), changing([fix]))
        if raw is None:
            return None
        return msgspec.structs.replace(row, prompt=raw.prompt, completion=raw.completion, tools=raw.tools)

    def search(self, text: str, start: int) -> int | None:
        """Number of the first row from ``start`` on, round the end, with ``text`` in any case; None where none has."""
        return self._store.search(text, start)
