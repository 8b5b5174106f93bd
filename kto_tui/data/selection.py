"""The rows that are trained on: a view over a store, by what a person decided. Nothing is copied."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

import msgspec

from kto_tui.atomic import write_atomically
from kto_tui.choices import DataChoices
from kto_tui.data.checks.facts import Facts
from kto_tui.data.checks.fixes import FIXES, keep, left_out, mend
from kto_tui.data.checks.seen import Seen
from kto_tui.data.checks.sound import judge
from kto_tui.data.labels import Reading, key, read_labels
from kto_tui.data.report import Characters
from kto_tui.data.rows import Row
from kto_tui.data.shapes.columns import as_named
from kto_tui.data.shapes.form import Form, RawRow
from kto_tui.data.store import VERSION, Store, Stored
from kto_tui.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def read_column(facts: Facts, form: Form, choices: DataChoices) -> tuple[Reading, bool]:
    """How the label column is read, and whether that is certain or confirmed; raises as ``confirm``."""
    return confirm(dict(zip(facts.labels, label_counts(facts)[1:], strict=False)), form, choices)


def confirm(counts: Mapping[str, int], form: Form, choices: DataChoices) -> tuple[Reading, bool]:
    """How labels are read as their column's name and a person say, and whether that leaves nothing to be confirmed.

    Args:
        counts: rows by value as ``labels.key``.
        form: how records are read; labels of pairs are the shape's own.
        choices: what a person said.

    Raises:
        UserError: a value is said to be both good and bad.
    """
    reading, sure = _confirm(counts, form, choices)
    if choices.unlabelled == "refuse":
        return reading, sure
    none = not any(counts[name] for name in counts if name)
    because = "rows without a label are good, as you said"
    because = because if none else f"{reading.because}; {because}"
    labels = {**reading.labels, key(None): True}
    return msgspec.structs.replace(
        reading, labels=labels, certain=none or reading.certain, because=because
    ), none or sure


def _confirm(counts: Mapping[str, int], form: Form, choices: DataChoices) -> tuple[Reading, bool]:
    """As ``confirm``, for the values that there are."""
    found = read_labels(counts, threshold=choices.threshold)
    by_threshold = choices.threshold is not None and found.threshold is not None
    if form.label is not None and not by_threshold:
        found = as_named(found, form.label)
    if not choices.good and not choices.bad:
        return found, found.certain or by_threshold
    good, bad = ([*map(key, values)] for values in (choices.good, choices.bad))
    if both := [name for name in good if name in bad]:
        mend = "Keep each value in one of the two"
        raise UserError(f"{', '.join(map(repr, both))} is said to be both good and bad", mend=mend, where="choices")
    if found.certain and counts.keys().isdisjoint({*good, *bad}):
        return found, True  # what was said is about another file, the one these rows are held out of
    labels = dict.fromkeys(bad, False) | dict.fromkeys(good, True)
    values = [*found.labels, *found.unknown]
    unknown = tuple(name for name in values if name not in labels)
    said = msgspec.structs.replace(found, labels=labels, because="as you confirmed", unknown=unknown)
    return said, True


def label_counts(facts: Facts) -> list[int]:
    """Rows per label code: without a label, then each of ``facts.labels``, then all other values."""
    import numpy as np

    found: list[int] = np.bincount(facts.columns().code, minlength=len(facts.labels) + 1).tolist()
    return found


class Selection(Sequence[Row]):
    """Rows of a store that are kept, in order, as KTO rows.

    Args:
        store: with all rows.
        reading: of its labels.
        choices: which fixes are accepted, which rows are excluded or flipped.
        numbers: of the kept rows.
        bad: per row of the store, whether it cannot be trained on and nobody accepted to leave it out.
    """

    def __init__(
        self, store: Store, reading: Reading, choices: DataChoices, numbers: "np.ndarray", *, bad: "np.ndarray"
    ) -> None:
        self._choices = choices
        self.store = store
        self.reading = reading
        self.numbers = numbers
        self.bad = bad
        self._labels = codes(store.about.labels, reading)
        self._flipped = frozenset(choices.flipped)
        self._changes = changing(choices.fixes)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        return self._row(self.store.row(int(self.numbers[index])))

    def __iter__(self) -> Iterator[Row]:
        wanted = iter(self.numbers.tolist())
        number = next(wanted, None)
        for stored in self.store:
            if stored.number == number:
                yield self._row(stored)
                number = next(wanted, None)

    def pick(self, indices: "Sequence[int] | np.ndarray") -> "Selection":
        """Those of the kept rows, as a view of their own."""
        import numpy as np

        numbers = self.numbers[np.asarray(indices, dtype=np.intp)]
        return Selection(self.store, self.reading, self._choices, numbers, bad=self.bad)

    def of_label(self, label: bool) -> "Selection":
        """Those of the kept rows that are labelled so, as a view of their own; no text is read."""
        import numpy as np

        labels = judge(self.store.facts(), self.reading, self._choices).label[self.numbers - 1]
        return self.pick(np.flatnonzero(labels == int(label)))

    def _row(self, stored: Stored) -> Row:
        raw: RawRow | None = stored.raw(None)
        if self._changes:
            raw = mend(stored.raw(None), self._changes)
        assert raw is not None  # noqa: S101 - what a fix leaves out is not among the numbers
        label = bool(self._labels[stored.code]) ^ (stored.number in self._flipped)
        return Row(raw.prompt, raw.completion, label, stored.line, stored.number, raw.tools)


def changing(fixes: Iterable[str]) -> tuple[str, ...]:
    """Those of the accepted fixes that look at the texts of a row."""
    return tuple(name for name in fixes if FIXES[name].kind == "change")


def codes(labels: Sequence[str], reading: Reading) -> list[bool | None]:
    """The label each code stands for, ``UNLABELLED`` the first; None for those that stand for none."""
    return [reading.labels.get(name) for name in (key(None), *labels)]


def select(
    store: Store, facts: Facts, reading: Reading, choices: DataChoices, heldout: Facts | None = None
) -> Selection:
    """The rows of ``store`` that are left after accepted fixes and exclusions and that can be trained on."""
    import numpy as np

    judged = judge(facts, reading, choices)
    sound = judged.sound
    kept = keep(facts, reading, choices, heldout=heldout)
    numbers = np.flatnonzero(kept & sound) + 1
    found = Selection(store, reading, choices, numbers, bad=kept & ~sound)
    if all(FIXES[name].sees == "facts" for name in choices.fixes):
        return found
    gone = _left_out(store, numbers, judged.label == 1, choices.fixes)
    return Selection(store, reading, choices, numbers[~np.isin(numbers, gone)], bad=found.bad)


def _left_out(store: Store, numbers: "np.ndarray", labels: "np.ndarray", fixes: Sequence[str]) -> "np.ndarray":
    """Those of the rows that fixes leave out which look at texts; kept beside the store, for it may take a while.

    Args:
        store: with the rows.
        numbers: of those that are left so far.
        labels: per row of the store, whether it is desirable.
        fixes: the accepted ones.
    """
    import numpy as np

    said = msgspec.msgpack.encode((VERSION, sorted(fixes))) + numbers.tobytes() + labels.tobytes()
    file = store.path.with_name(f"{store.path.stem}.{hashlib.sha256(said).hexdigest()[:16]}.left")
    with contextlib.suppress(OSError, ValueError):
        found: np.ndarray = np.frombuffer(file.read_bytes(), dtype="<i8")
        return found
    wanted = np.zeros(len(store) + 1, dtype=bool)
    wanted[numbers] = True
    rows = (Seen(row.number, "", row.raw(None), bool(labels[row.number - 1])) for row in store if wanted[row.number])
    gone = np.array(left_out(rows, fixes), dtype="<i8")
    with contextlib.suppress(OSError):
        write_atomically(file, gone.tobytes())
    return gone


def label_column(facts: Facts, selection: Selection, choices: DataChoices) -> "np.ndarray":
    """The labels of the kept rows, shape (rows,), bool."""
    found: np.ndarray = judge(facts, selection.reading, choices).label[selection.numbers - 1] == 1
    return found


def characters(facts: Facts, selection: Selection) -> Characters | None:
    """How long the kept rows are; None without any."""
    import numpy as np

    index = selection.numbers - 1
    columns = facts.columns()
    lengths = columns.prompt_characters[index].astype("i8") + columns.completion_characters[index]
    if not len(lengths):
        return None
    p95 = np.percentile(lengths, 95, method="lower")
    return Characters(mean=float(lengths.mean()), p95=int(p95), longest=int(lengths.max()))


def fingerprint(facts: Facts, selection: Selection, choices: DataChoices) -> str:
    """SHA-256 over content and label of the kept rows, in order, and over the fixes that change texts."""
    import numpy as np

    content = facts.columns().content[selection.numbers - 1]
    digest = hashlib.sha256(msgspec.msgpack.encode(changing(choices.fixes)))
    digest.update(np.ascontiguousarray(content, dtype="<u8").tobytes())
    digest.update(label_column(facts, selection, choices).tobytes())
    return digest.hexdigest()
