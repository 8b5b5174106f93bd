"""A row as the checks of texts see it."""

import msgspec

from kto_tui.data.shapes.form import RawRow


class Seen(msgspec.Struct, frozen=True):
    """One row of a source.

    Attributes:
        number: its own.
        place: ``file:line``.
        raw: as it was found.
        label: True for desirable; None where it has no label that can be read.
    """

    number: int
    place: str
    raw: RawRow
    label: bool | None
