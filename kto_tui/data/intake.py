"""What becomes of the records of a source: rows with their facts, whatever is wrong with them, for a store."""

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.checks.facts import UNLABELLED, Facts, Flag
from kto_tui.data.checks.passing import flags_of, hashes_of
from kto_tui.data.containers.reader import Reader
from kto_tui.data.records import Record, Unreadable
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import Form, RawRow, RowProblemError, Text
from kto_tui.data.storing import Batch, encoded

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_CHARACTERS = 2_000
KINDS = {False: "text", True: "chat messages"}


class Intake:
    """Takes what a reader yields, in order.

    Args:
        form: how records are read.
        chat: whether rows are chat messages; None: as the first one is. All rows of a source are the one or the other.

    Attributes:
        labels: the different label values so far.
        chat: as above, once a row was seen.
        records: that were taken.
        rows: that they held.
    """

    def __init__(self, form: Form, *, chat: bool | None = None) -> None:
        self.chat = chat
        self.labels = Facts()
        self.records = 0
        self.rows = 0
        self._convert = converter(form)
        self._batch = Batch()

    @property
    def full(self) -> bool:
        """Whether it is time to ask for the batch."""
        return self._batch.full

    def batch(self) -> "pa.RecordBatch | None":
        """The rows since it was asked for the last time."""
        return self._batch.take()

    def take(self, item: Record | Unreadable) -> None:
        """The next item of the source."""
        self.records += 1
        if type(item) is Unreadable:
            self._broken(item.file, item.line, Flag.UNREADABLE, item.problem, "")
            return
        assert isinstance(item, Record)  # noqa: S101 - there is nothing else
        try:
            rows = self._convert(item.value)
        except RowProblemError as problem:
            flag = Flag.ROLES if problem.kind == "roles" else Flag.UNREADABLE
            self._broken(item.file, item.line, flag, problem.text, _shown(item.value))
            return
        for row in rows:
            chat = type(row.prompt) is not str
            if self.chat is None:
                self.chat = chat
            if chat is self.chat:
                self._add(item, row)
            else:
                mixed = f"it is {KINDS[chat]}, the rows before are {KINDS[self.chat]}"
                self._broken(item.file, item.line, Flag.UNREADABLE, mixed, _shown(item.value))

    def _add(self, item: Record, row: RawRow) -> None:
        self.rows += 1
        content, prompt = hashes_of(row)
        lengths = _characters(row.prompt), _characters(row.completion)
        told = (item.file, item.line, self.labels.code(row.label), int(flags_of(row)), content, prompt, *lengths)
        texts = encoded(row.prompt), encoded(row.completion), encoded(row.tools), b""
        self._batch.add((*told, type(row.prompt) is not str), *texts)

    def _broken(self, file: int, line: int, flag: Flag, problem: str, shown: str) -> None:
        self.rows += 1
        content, prompt = hashes_of(RawRow("", shown, None))
        facts = (file, line, UNLABELLED, int(flag), content, prompt, 0, len(shown), False)
        self._batch.add(facts, b"", encoded(shown), b"", encoded(problem))


def _characters(text: Text) -> int:
    """As ``rows.text_of`` is long."""
    if isinstance(text, str):
        return len(text)
    total = 0
    for message in text:
        total += len(message.role) + len(message.content) + 3
    return max(0, total - 1)


def _shown(value: object) -> str:
    """A record that yields no row, as text."""
    try:
        return msgspec.json.encode(value).decode()[:SHOWN_CHARACTERS]
    except (TypeError, ValueError, RecursionError):
        return repr(type(value))


class OneByOne:
    """Takes the items of a reader in this process. Iterate for the batches.

    Attributes:
        labels: as of ``Intake``, and so are ``records`` and ``rows``.
        bytes_done: of the source.
    """

    def __init__(self, reader: Reader, items: Iterable[Record | Unreadable], form: Form) -> None:
        self._reader = reader
        self._items = items
        self._intake = Intake(form)
        self.labels = self._intake.labels

    @property
    def records(self) -> int:  # noqa: D102 - above
        return self._intake.records

    @property
    def rows(self) -> int:  # noqa: D102 - above
        return self._intake.rows

    @property
    def bytes_done(self) -> int:  # noqa: D102 - above
        return self._reader.bytes_done

    def __iter__(self) -> Generator["pa.RecordBatch", None, None]:
        for item in self._items:
            self._intake.take(item)
            if self._intake.full and (batch := self._intake.batch()) is not None:
                yield batch
        if (last := self._intake.batch()) is not None:
            yield last
