"""What is remembered of every row while a file streams by: a few numbers, from which the cheap checks are computed."""

from array import array
from enum import IntFlag
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.labels import Scalar, key

if TYPE_CHECKING:
    import numpy as np

# More different values than this are no labels; one code stands for all the others.
MOST_LABELS = 1000
UNLABELLED = 0
OTHER = MOST_LABELS + 1


class Flag(IntFlag):
    """What is wrong with a row, as far as it can be seen in passing."""

    UNREADABLE = 1
    ROLES = 2
    EMPTY_PROMPT = 4
    EMPTY_COMPLETION = 8
    REPEATS_PROMPT = 16


# The findings whose rows cannot be trained on, by what tells them.
BY_FLAG = {
    "unreadable": Flag.UNREADABLE,
    "roles": Flag.ROLES,
    "empty_prompt": Flag.EMPTY_PROMPT,
    "empty_completion": Flag.EMPTY_COMPLETION,
}


class Columns(msgspec.Struct, frozen=True):
    """``Facts`` as numpy arrays, one element per row, the row of number 1 first.

    Attributes:
        file: index of the file.
        line: of the record.
        code: of the label: ``UNLABELLED``, 1 + index into ``Facts.labels``, or ``OTHER``.
        flags: ``Flag``.
        content: 64-bit hash of prompt, completion and tools.
        prompt: 64-bit hash of the prompt.
        prompt_characters: of the text.
        completion_characters: of the text.
    """

    file: "np.ndarray"
    line: "np.ndarray"
    code: "np.ndarray"
    flags: "np.ndarray"
    content: "np.ndarray"
    prompt: "np.ndarray"
    prompt_characters: "np.ndarray"
    completion_characters: "np.ndarray"


class Facts:
    """Grows by one row at a time; 37 bytes a row.

    Attributes:
        labels: the different label values as text (``labels.key``), in order of appearance.
        values: one value as it was found for each of them.
    """

    def __init__(self) -> None:
        self._columns = tuple(array(code) for code in "HQHBQQII")
        self._codes: dict[str, int] = {"": UNLABELLED}
        self.labels: list[str] = []
        self.values: list[Scalar] = []

    def __len__(self) -> int:
        return len(self._columns[0])

    def code(self, value: Scalar) -> int:
        """The code of a label value; a value that was not seen before gets the next."""
        name = key(value)
        code = self._codes.get(name)
        if code is None:
            if len(self.labels) == MOST_LABELS:
                return OTHER
            self.labels.append(name)
            self.values.append(value)
            code = self._codes[name] = len(self.labels)
        return code

    def add(
        self, file: int, line: int, code: int, flags: int, content: int, prompt: int, lengths: tuple[int, int]
    ) -> None:
        """The facts of the next row. ``lengths``: characters of prompt and completion."""
        for column, value in zip(self._columns, (file, line, code, flags, content, prompt, *lengths), strict=True):
            column.append(value)

    def columns(self) -> Columns:
        """All rows so far, without a copy: nothing may be added while the result is in use."""
        import numpy as np

        return Columns(*(np.frombuffer(column, dtype=column.typecode) for column in self._columns))
