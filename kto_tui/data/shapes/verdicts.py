"""The judgements in one cell: a plain value, or what labelling tools export for one or several people."""

from collections.abc import Mapping

from kto_tui.data.labels import Scalar, key
from kto_tui.data.shapes.turns import unreadable

SCALARS = (str, bool, int, float)
# Where exports keep the value: Argilla, then Label Studio's choices, rating, number and pairwise.
VALUE_KEYS = ("value", "choices", "rating", "number", "selected")
# Judgements that were not handed in (Argilla).
WITHDRAWN = ("discarded", "draft")
DEEPEST = 4


def verdicts(value: object, column: str) -> tuple[Scalar, ...]:
    """Each different judgement once, in order; one None where nobody has judged.

    Raises:
        RowProblemError: ``value`` is no judgement.
    """
    found: dict[str, Scalar] = {}
    _collect(value, column, found, DEEPEST)
    return tuple(found.values()) or (None,)


def _collect(value: object, column: str, found: dict[str, Scalar], depth: int) -> None:
    if value is None:
        return
    if isinstance(value, SCALARS):
        found.setdefault(key(value), value)
    elif depth and isinstance(value, list | tuple):
        for item in value:
            _collect(item, column, found, depth - 1)
    elif depth and isinstance(value, Mapping) and (name := next((k for k in VALUE_KEYS if k in value), None)):
        if value.get("status") not in WITHDRAWN:
            _collect(value[name], column, found, depth - 1)
    else:
        raise unreadable(column, value, "a label")
