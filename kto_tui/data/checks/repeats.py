"""Rows that say the same as others, by the hashes of their content: duplicates, contradictions, held-out prompts."""

from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.checks.facts import Columns, Facts

if TYPE_CHECKING:
    import numpy as np


# Rows looked at together, so that what is worked with stays small; bits of a hash that tell most rows apart.
CHUNK = 1 << 18
TABLE_BITS = 20


class Repeats(msgspec.Struct, frozen=True):
    """Rows with the same content as others, each a bool per row.

    Attributes:
        conflicting: another row has the other label.
        copies: an earlier row has the same label.
    """

    conflicting: "np.ndarray"
    copies: "np.ndarray"


def repeats(content: "np.ndarray", label: "np.ndarray", among: "np.ndarray") -> Repeats:
    """Which rows repeat others. Only rows in ``among`` count, which must have a label."""
    import numpy as np

    conflicting, copies = (np.zeros(len(content), dtype=bool) for _ in range(2))
    index = np.flatnonzero(among)
    # With 63 bits of the hash two million rows still do not meet by chance; the last bit is the label's.
    keys = content[index]
    keys <<= np.uint64(1)
    keys |= label[index].view(np.uint8)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    index = index[order]
    same = keys[1:] == keys[:-1]
    copies[index[1:]] = same
    # Labels ascend among rows of one content: where they change, both occur.
    both = ~same & ((keys[1:] >> np.uint64(1)) == (keys[:-1] >> np.uint64(1)))
    torn = keys[1:][both] >> np.uint64(1)
    if len(torn):
        conflicting[index] = _known(keys >> np.uint64(1), torn, bits=TABLE_BITS - 1)
    return Repeats(conflicting, copies)


def overlapping(columns: Columns, among: "np.ndarray", heldout: Facts) -> tuple["np.ndarray", "np.ndarray"]:
    """Per row, whether a held-out row has its prompt, and whether one has its answer to it too."""
    import numpy as np

    held = heldout.columns()
    asked = held.prompt_characters > 0
    prompts, answers = (
        _known(mine, np.sort(theirs[asked]), bits=TABLE_BITS) & among
        for mine, theirs in ((columns.prompt, held.prompt), (columns.content, held.content))
    )
    return prompts, answers


def _known(values: "np.ndarray", known: "np.ndarray", *, bits: int) -> "np.ndarray":
    """Per value, whether it is in ``known``, which ascends; ``bits``: of the values, how many to look at first."""
    import numpy as np

    found = np.zeros(len(values), dtype=bool)
    shift = np.uint64(64 - TABLE_BITS)
    table = np.zeros(1 << bits, dtype=bool)
    table[known >> shift] = True
    for begin in range(0, len(values) if len(known) else 0, CHUNK):
        part = values[begin : begin + CHUNK]
        index = np.flatnonzero(table[part >> shift])
        at = np.minimum(np.searchsorted(known, part[index]), len(known) - 1)
        found[begin + index] = known[at] == part[index]
    return found
