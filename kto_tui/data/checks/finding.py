"""What a check has found, for screens, commands and JSON."""

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "hint"]
SHOWN_ROWS = 1000
SHOWN_PLACES = 5


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's result; a check that found nothing has none.

    Attributes:
        id: of the check; accepting its fix puts this id into ``DataChoices.fixes``.
        severity: an error keeps a run from starting until it is mended or its fix accepted.
        count: rows (or pairs, groups: as the title says) it is about.
        title: one clause with the count, no full stop.
        why: why it matters for the method that trains on the rows, one sentence.
        rows: numbers of the first rows, at most ``SHOWN_ROWS``.
        places: ``file:line`` of the first of them, at most ``SHOWN_PLACES``.
        fix: what accepting the fix does, as an imperative without full stop; None where only the person can mend it.
        looked_at: rows the check looked at, where that was a sample; None: all.
    """

    id: str
    severity: Severity
    count: int
    title: str
    why: str
    rows: tuple[int, ...] = ()
    places: tuple[str, ...] = ()
    fix: str | None = None
    looked_at: int | None = None
