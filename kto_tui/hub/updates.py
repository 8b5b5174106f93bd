"""What the download program says, one JSON line each on its standard output; ``Done`` or ``Failed`` is the last."""

from typing import Literal

import msgspec

# token: the one that was sent is refused; missing: or private, where the hub does not tell; library: not installed.
Kind = Literal["gated", "token", "missing", "renamed", "offline", "disk", "library", "interrupted", "other"]


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="progress"):
    """How much is here, counting what earlier downloads left. ``file``: the one that moved last, "" before any."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    file: str = ""
    bytes_per_second: float | None = None

    @property
    def share(self) -> float:
        """Fraction of the bytes that is here."""
        return self.bytes_done / self.bytes_total if self.bytes_total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None while that is unknown or nothing moves."""
        return (self.bytes_total - self.bytes_done) / self.bytes_per_second if self.bytes_per_second else None


class Noted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="noted"):
    """A sentence about what is going on."""

    text: str


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """It is in the cache: ``path`` of its folder, ``revision`` as a commit, the bytes that were fetched now."""

    path: str
    revision: str
    bytes_fetched: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """It is not (wholly) here; ``message`` and ``mend`` as in ``UserError``.

    ``choices``: the configs, or splits, of a data set of which one must be named; ``part``: which of the two.
    """

    kind: Kind
    message: str
    mend: str
    renamed_to: str | None = None
    choices: tuple[str, ...] = ()
    part: str = ""


Update = Progressed | Noted | Done | Failed
