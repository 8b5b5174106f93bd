"""Opens a source for training: rows as a view over its store, or the reason why they cannot be trained on."""

from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.facts import Facts
from kto_tui.data.checks.fixes import FIXES
from kto_tui.data.labels import Reading
from kto_tui.data.rows import Dataset
from kto_tui.data.scan import Tell, scan, scan_apart
from kto_tui.data.selection import Selection, characters, fingerprint, label_column, read_column, select
from kto_tui.data.store import Store
from kto_tui.data.trainable import refuse, require_confirmed
from kto_tui.errors import UserError


class Opened(msgspec.Struct, frozen=True):
    """A store with its facts, how its labels are read, and the rows of it that are trained on."""

    store: Store
    facts: Facts
    reading: Reading
    confirmed: bool
    selection: Selection


def open_selection(
    path: Path, choices: DataChoices, tell: Tell, heldout: Facts | None = None, *, apart: bool = False
) -> Opened:
    """The rows of a source under ``choices``, stored first where they are not.

    Args:
        path: file or folder.
        choices: what is decided about it.
        tell: called with the progress where the source must be read first.
        heldout: of the rows that the fix of ``heldout_overlap`` leaves out.
        apart: it is itself a held-out file, and the choices were made about another.

    Raises:
        UserError: as ``scan``.
    """
    if unknown := set(choices.fixes) - set(FIXES):
        raise UserError(
            f"There is no fix {', '.join(sorted(unknown))}",
            mend=f"Use {', '.join(sorted(FIXES))}",
            where="choices fixes",
        )
    store = (scan_apart if apart else scan)(path, choices, tell)
    facts = store.facts()
    reading, confirmed = read_column(facts, store.about.form, choices)
    return Opened(store, facts, reading, confirmed, select(store, facts, reading, choices, heldout))


def open_dataset(
    path: Path,
    choices: DataChoices,
    tell: Tell,
    heldout: tuple[Path, DataChoices] | None = None,
    *,
    apart: bool = False,
) -> Dataset:
    """The rows of a source that are trained on.

    Args:
        path: file or folder.
        choices: what is decided about it.
        tell: called with the progress where the source must be read first.
        heldout: path and choices of the rows that the fix of ``heldout_overlap`` leaves out.
        apart: as of ``open_selection``.

    Raises:
        UserError: as ``kto_tui.data.sources.open_source``.
    """
    held = None
    if heldout is not None and "heldout_overlap" in choices.fixes:
        held = scan_apart(*heldout, tell).facts()
    found = open_selection(path, choices, tell, held, apart=apart)
    require_confirmed(found.store, found.reading, confirmed=found.confirmed)
    if found.selection.bad.any():
        refuse(found.store, found.facts, found.selection.bad, apart=apart)
    lengths = characters(found.facts, found.selection)
    if lengths is None:
        raise UserError(
            f"None of its {len(found.store):,} rows is left to train on",
            mend="Take back a fix or an exclusion",
            where=str(path),
        )
    return Dataset(
        path=path,
        rows=found.selection,
        fingerprint=fingerprint(found.facts, found.selection, choices),
        desirable=int(label_column(found.facts, found.selection, choices).sum()),
        mean_characters=lengths.mean,
        p95_characters=lengths.p95,
    )
