"""The data doctor: everything that is to be said about a data file before it is trained on."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.cheap import Context, cheap_findings
from kto_tui.data.checks.facts import OTHER, UNLABELLED, Facts
from kto_tui.data.checks.finding import Finding
from kto_tui.data.checks.imitation import as_imitated
from kto_tui.data.checks.seen import Seen
from kto_tui.data.checks.sound import NO_LABEL, Judged, judge
from kto_tui.data.checks.texts import TextChecks
from kto_tui.data.labels import Reading
from kto_tui.data.opening import open_selection
from kto_tui.data.report import LabelValue, Progressed, Report
from kto_tui.data.scan import TELL_SECONDS, scan_apart
from kto_tui.data.selection import (
    characters,
    codes,
    fingerprint,
    label_column,
    label_counts,
)
from kto_tui.data.sources import for_heldout, for_training
from kto_tui.data.store import Store
from kto_tui.methods import Method
from kto_tui.methods.kto import Weights, balance_weights

# The dear checks look at all rows of a source up to this many, and at so many of a larger one.
SAMPLE_ROWS = 10_000
SAMPLE_SEED = 42
SEVERITIES = ("error", "warning", "hint")
SHOWN_VALUES = 50


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be examined.

    Attributes:
        path: file or folder.
        choices: what is decided about it.
        heldout: file whose rows must not be trained on.
        effective_batch: rows per optimizer step of the recipe, where it is known.
        method: that is to train on it.
        full: the dear checks look at every row.
    """

    path: str
    choices: DataChoices = DataChoices()
    heldout: str | None = None
    effective_batch: int | None = None
    method: Method = "kto"
    full: bool = False


def examine(job: Job, tell: Callable[[Progressed], None]) -> Report:
    """Read a source, check it, and say what was found.

    Args:
        job: the source and what is decided about it.
        tell: called with the progress, about ten times a second.

    Raises:
        UserError: the source cannot be read as a whole, or not without further choices.
    """
    begin = time.monotonic()
    heldout = None if job.heldout is None else scan_apart(*for_heldout(job.heldout, job.choices), tell).facts()
    found = open_selection(*for_training(job.path, job.choices), tell, heldout)
    store, facts, reading, selection = found.store, found.facts, found.reading, found.selection
    names = tuple(Path(name).name for name in store.about.files)
    context = Context(
        reading=reading,
        files=names,
        effective_batch=job.effective_batch,
        heldout=heldout,
        choices=job.choices,
        method=job.method,
    )
    numbers = _sample(len(store), full=job.full)
    findings = cheap_findings(facts, context)
    findings += _text_findings(store, judge(facts, reading, job.choices), names, numbers, tell)
    if job.method == "sft":
        findings = as_imitated(findings)
    desirable = int(label_column(facts, selection, job.choices).sum())
    undesirable = len(selection) - desirable
    about = store.about
    return Report(
        path=job.path,
        format=about.format[0],
        format_confidence=about.format[1],
        format_because=about.format[2],
        form=about.form,
        records=about.records,
        rows=len(store),
        kept=len(selection),
        desirable=desirable,
        undesirable=undesirable,
        values=_values(facts, reading),
        labels_because=reading.because,
        confirmed=found.confirmed,
        method=job.method,
        weights=_weights(desirable, undesirable) if job.method == "kto" else None,
        characters=characters(facts, selection),
        findings=tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity))),
        looked_at=len(numbers),
        fingerprint=fingerprint(facts, selection, job.choices),
        store=str(store.path),
        bytes_read=about.bytes_read,
        seconds=time.monotonic() - begin,
    )


def _sample(rows: int, *, full: bool) -> Sequence[int]:
    """Numbers of the rows that the dear checks look at: all, or a seeded sample in order."""
    if full or rows <= SAMPLE_ROWS:
        return range(1, rows + 1)
    return sorted(random.Random(SAMPLE_SEED).sample(range(1, rows + 1), SAMPLE_ROWS))  # noqa: S311 - no secret


def _text_findings(
    store: Store, judged: Judged, names: tuple[str, ...], wanted: Sequence[int], tell: Callable[[Progressed], None]
) -> list[Finding]:
    """What the texts of the ``wanted`` rows show; rows a person left out are not looked at."""
    checks = TextChecks()
    due = 0.0
    for done, number in enumerate(wanted):
        row = store.row(number)
        if row.problem or not judged.present[number - 1]:
            continue
        label = None if judged.label[number - 1] == NO_LABEL else bool(judged.label[number - 1])
        checks.see(Seen(number, f"{names[row.file]}:{row.line}", row.raw(label), label))
        if done % 64 == 0 and (now := time.monotonic()) >= due:
            due = now + TELL_SECONDS
            tell(Progressed(phase="checking", bytes_done=done, bytes_total=len(wanted), rows=done))
    return checks.findings(looked_at=len(wanted) if len(wanted) < len(store) else None)


def _values(facts: Facts, reading: Reading) -> tuple[LabelValue, ...]:
    import numpy as np

    counts, labels = label_counts(facts), codes(facts.labels, reading)
    present, first = np.unique(facts.columns().code, return_index=True)
    rows = dict(zip(present.tolist(), (first + 1).tolist(), strict=True))
    found = [
        LabelValue(None if code == UNLABELLED else facts.values[code - 1], labels[code], counts[code], row)
        for code, row in rows.items()
        if code < OTHER
    ]
    return tuple(sorted(found, key=lambda value: -value.count)[:SHOWN_VALUES])


def _weights(desirable: int, undesirable: int) -> Weights | None:
    return balance_weights(desirable, undesirable) if desirable and undesirable else None
