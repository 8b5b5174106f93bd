"""Which rows can be trained on, and by which label: what Facts, a reading and the person's choices say together."""

from typing import TYPE_CHECKING

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.facts import OTHER, UNLABELLED, Columns, Facts, Flag
from kto_tui.data.labels import Reading, key

if TYPE_CHECKING:
    import numpy as np

BROKEN = Flag.UNREADABLE | Flag.ROLES
EMPTY = Flag.EMPTY_PROMPT | Flag.EMPTY_COMPLETION
NO_LABEL = -1


class Judged(msgspec.Struct, frozen=True):
    """The rows of a source with their labels; each array has one element per row, the row of number 1 first.

    Attributes:
        columns: the facts.
        label: 1 desirable, 0 undesirable, ``NO_LABEL``; flipped where the person did, int8.
        present: whether the person did not leave the row out.
        sound: whether the row is present and can be trained on.
    """

    columns: Columns
    label: "np.ndarray"
    present: "np.ndarray"
    sound: "np.ndarray"


def judge(facts: Facts, reading: Reading, choices: DataChoices) -> Judged:
    """Labels and soundness of all rows, before any fix."""
    import numpy as np

    columns = facts.columns()
    label = labels_of(facts, reading)[columns.code]
    flipped = _mask(choices.flipped, len(label)) & (label != NO_LABEL)
    label[flipped] = 1 - label[flipped]
    present = ~_mask(choices.excluded, len(label))
    sound = present & ((columns.flags & np.uint8(BROKEN | EMPTY)) == 0) & (label != NO_LABEL)
    return Judged(columns, label, present, sound)


def labels_of(facts: Facts, reading: Reading) -> "np.ndarray":
    """Per label code: 1 desirable, 0 undesirable, ``NO_LABEL``. Shape (OTHER + 1,), int8."""
    import numpy as np

    table = np.full(OTHER + 1, NO_LABEL, dtype=np.int8)
    for code, name in enumerate((key(None), *facts.labels), start=UNLABELLED):
        label = reading.labels.get(name)
        if label is not None:
            table[code] = label
    return table


def _mask(numbers: tuple[int, ...], rows: int) -> "np.ndarray":
    """Per row, whether it is one of ``numbers``; a number no row has means nothing."""
    import numpy as np

    found = np.zeros(rows, dtype=bool)
    index = np.array(numbers, dtype=np.int64) - 1
    found[index[(index >= 0) & (index < rows)]] = True
    return found
