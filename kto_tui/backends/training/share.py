"""Which rows a process trains on at once."""

import msgspec

from kto_tui.data.prepare import Window


class Share(msgspec.Struct, frozen=True):
    """The part of a window that this process trains on, in a window of ``total`` rows that ``ranks`` processes share.

    ``index``: of the window within the epoch; None: its reference scores are not kept.
    """

    index: int | None
    rows: Window
    total: int
    ranks: int = 1
