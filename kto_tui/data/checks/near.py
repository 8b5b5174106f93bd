"""Near duplicates: rows whose prompt and completion both are nearly those of an earlier row with the same label.

MinHash over the text's runs of eight bytes, without case and with single spaces, in one permutation (Li, Owen, Zhang
2012; empty bins as Shrivastava and Li 2014). Candidates share a band of values; two rows are near where both texts
agree in ``THRESHOLD`` of their values, which estimates the share of runs they have in common (Jaccard). Of each value
one byte is kept (Li and König 2010): 128 bytes per row.
"""

from array import array
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from kto_tui.data.checks.passing import hashes_of
from kto_tui.data.checks.seen import Seen
from kto_tui.data.rows import text_of

if TYPE_CHECKING:
    import numpy as np

VALUES = 64
RUN = 8
THRESHOLD = 0.8
LOOKED_AT_CHARACTERS = 100_000
# Of each text so many values make a band.
BAND = 2
CHUNK = 4096
_MIX = 0x9E3779B97F4A7C15
_BIN_SHIFT = 64 - VALUES.bit_length() + 1


def near_duplicates(rows: Iterable[Seen]) -> list[int]:
    """Numbers of all rows but the first of each group of near duplicates, ascending; 80 µs per row of 1 KB.

    Rows that are all copies of each other are no such group: ``exact_duplicates`` finds those.
    """
    sketches = Sketches()
    for seen in rows:
        sketches.see(seen)
    return sketches.repeats()


class Sketches:
    """What is remembered of each row to find near duplicates: 145 bytes."""

    def __init__(self) -> None:
        self._values = bytearray()
        self._numbers = array("Q")
        self._content = array("Q")
        self._labels = array("b")

    def see(self, seen: Seen) -> None:
        """The next row."""
        self._values += sketch(text_of(seen.raw.prompt)) + sketch(text_of(seen.raw.completion))
        self._numbers.append(seen.number)
        self._content.append(hashes_of(seen.raw)[0])
        self._labels.append(-1 if seen.label is None else seen.label)

    def repeats(self) -> list[int]:
        """As ``near_duplicates``, of the rows seen so far."""
        import numpy as np

        if len(self._numbers) < 2:
            return []
        content, labels = np.frombuffer(self._content, np.uint64), np.frombuffer(self._labels, np.int8)
        values = np.frombuffer(self._values, np.uint8).reshape(len(labels), 2 * VALUES)
        same = (content << 2) | (labels + 1).astype(np.uint64)
        _, first, kind = np.unique(same, return_index=True, return_inverse=True)
        order = np.argsort(first)
        first = first[order]  # of each different row
        left = np.arange(len(first))
        head = left.copy()  # per different row, which one its group begins with
        # Without the rows found, others become each other's neighbours in a band.
        while (joined := _groups(values[first[left]], labels[first[left]])) is not None:
            head[left] = left[joined]
            head = head[head]
            left = np.unique(head)
        group = head[np.argsort(order)[kind]]
        gone = (np.bincount(head)[group] > 1) & (np.arange(len(group)) != first[group])
        return sorted(np.frombuffer(self._numbers, np.uint64)[gone].tolist())


def sketch(text: str) -> bytes:
    """``VALUES`` bytes that agree, between two texts, in about the share of runs the texts have in common."""
    import numpy as np

    data = " ".join(text[:LOOKED_AT_CHARACTERS].casefold().split()).encode("utf-8", "surrogatepass").ljust(RUN, b"\0")
    # All runs, those at each of the eight offsets together; their order does not matter.
    runs = np.frombuffer(b"".join(data[i : len(data) - (len(data) - i) % RUN] for i in range(RUN)), "<u8")
    mixed = runs * _MIX
    mixed ^= mixed >> 32
    mixed *= _MIX
    mixed.sort()
    # The lowest hash of each bin; an empty bin takes that of the next one, whose distance must agree too.
    own = _bins()
    at = np.searchsorted(mixed, own << _BIN_SHIFT)
    at[at == len(mixed)] = 0
    lowest = mixed[at]
    found: bytes = ((lowest >> 8) + ((lowest >> _BIN_SHIFT) - own) * 97).astype(np.uint8).tobytes()
    return found


@cache
def _bins() -> "np.ndarray":
    import numpy as np

    return np.arange(VALUES, dtype=np.uint64)


def _groups(values: "np.ndarray", labels: "np.ndarray") -> "np.ndarray | None":
    """Per row the index of the first row of its group; None without near rows. Near to near is one group."""
    import numpy as np

    rows = np.arange(len(values))
    group = rows.copy()
    for begin in range(0, VALUES, BAND):
        key = labels.astype(np.uint64)
        for column in (begin + i + half for half in (0, VALUES) for i in range(BAND)):
            key = (key << 8) | values[:, column]
        order = np.argsort(key, kind="stable")
        key = key[order]
        new = np.concatenate(([True], key[1:] != key[:-1]))
        # Each row of a band is compared with the band's first and with the one before it.
        head = order[np.maximum.accumulate(np.where(new, rows, 0))]
        before = np.where(new, order, np.roll(order, 1))
        for earlier in (head, before):
            apart = group[order] != group[earlier]
            one, other = order[apart], earlier[apart]
            same = _near(values, one, other)
            for a, b in zip(one[same].tolist(), other[same].tolist(), strict=True):
                _join(group, a, b)
            group = _flat(group)
    return None if (group == rows).all() else group


def _flat(group: "np.ndarray") -> "np.ndarray":
    """Every row's group named by its first row."""
    while (group != (first := group[group])).any():
        group = first
    return group


def _near(values: "np.ndarray", one: "np.ndarray", other: "np.ndarray") -> "np.ndarray":
    import numpy as np

    found = np.empty(len(one), dtype=bool)
    for begin in range(0, len(one), CHUNK):
        part = slice(begin, begin + CHUNK)
        same = (values[one[part]] == values[other[part]]).reshape(-1, 2, VALUES).sum(axis=2)
        found[part] = (same >= THRESHOLD * VALUES).all(axis=1)
    return found


def _root(group: "np.ndarray", index: int) -> int:
    while group[index] != index:
        group[index] = group[group[index]]
        index = int(group[index])
    return index


def _join(group: "np.ndarray", one: int, other: int) -> None:
    a, b = _root(group, one), _root(group, other)
    group[max(a, b)] = min(a, b)
