"""What an examination of a data file says, for screens, commands and JSON; and how it says it while it goes on."""

import msgspec

from kto_tui.data.checks.finding import Finding
from kto_tui.data.labels import Scalar
from kto_tui.data.shapes.form import Form
from kto_tui.methods import Method
from kto_tui.methods.kto import Weights


class LabelValue(msgspec.Struct, frozen=True):
    """One value of the label column.

    Attributes:
        value: as it is in the file; None for rows without any.
        label: what it is read as; None where it is no label.
        count: rows that have it.
        row: number of the first of them.
    """

    value: Scalar
    label: bool | None
    count: int
    row: int


class Characters(msgspec.Struct, frozen=True):
    """Characters of rows that are trained on: their mean, the length 95 % stay below, and the longest."""

    mean: float
    p95: int
    longest: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a data file and what is wrong with it.

    Attributes:
        path: of the file or folder.
        format: the container in words, with compression and encoding.
        format_confidence: 0 to 1, with ``format_because``.
        form: how records are read.
        records: objects in the file, the unreadable ones included.
        rows: judged answers they hold, before any is left out.
        kept: sound rows, after accepted fixes and exclusions.
        desirable: kept rows labelled good.
        undesirable: kept rows labelled bad.
        values: of the label column, the commonest first.
        labels_because: how they are read, in words.
        confirmed: whether their polarity needs no further word of a person.
        method: that is to train on them.
        weights: None while a label is missing, and for SFT, which has none.
        characters: None without kept rows.
        findings: errors first.
        looked_at: rows that the dear checks looked at.
        fingerprint: SHA-256 over the kept rows and their labels, in order.
        store: where all rows lie, ready to be mapped into memory.
        bytes_read: of the file.
        seconds: the examination took.
    """

    path: str
    format: str
    format_confidence: float
    format_because: str
    form: Form
    records: int
    rows: int
    kept: int
    desirable: int
    undesirable: int
    values: tuple[LabelValue, ...]
    labels_because: str
    confirmed: bool
    method: Method
    weights: Weights | None
    characters: Characters | None
    findings: tuple[Finding, ...]
    looked_at: int
    fingerprint: str
    store: str
    bytes_read: int
    seconds: float

    @property
    def trained(self) -> int:
        """Rows that would be trained on or held out: of SFT the good ones."""
        return self.kept if self.method == "kto" else self.desirable

    @property
    def teaches(self) -> bool:
        """Whether the method has the labels it needs."""
        return self.desirable > 0 and (self.method == "sft" or self.undesirable > 0)


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="progress"):
    """How far the reading is. ``phase``: what goes on, in words."""

    phase: str
    bytes_done: int
    bytes_total: int
    rows: int

    @property
    def share(self) -> float:
        """Fraction of the bytes that is read."""
        return min(1.0, self.bytes_done / self.bytes_total) if self.bytes_total else 1.0


class Examined(msgspec.Struct, frozen=True, tag_field="event", tag="examined"):
    """The end, when all went well."""

    report: Report


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="refused"):
    """The end, when it did not; as in ``UserError``."""

    what: str
    mend: str
    where: str | None


Update = Progressed | Examined | Refused
