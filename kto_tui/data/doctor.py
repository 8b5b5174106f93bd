"""Has a data file examined by a program beside this one, so that a terminal stays quick while gigabytes are read."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.report import Examined, Refused, Update
from kto_tui.methods import Method
from kto_tui.program import Program


class Examination:
    """One running examination. Iterate for its updates, the last is ``Examined`` or ``Refused``; ``cancel`` ends it."""

    def __init__(
        self,
        path: Path,
        choices: DataChoices,
        *,
        heldout: Path | None = None,
        effective_batch: int | None = None,
        method: Method = "kto",
    ) -> None:
        job = {
            "path": str(path),
            "choices": choices,
            "heldout": None if heldout is None else str(heldout),
            "effective_batch": effective_batch,
            "method": method,
        }
        self._program: Program[Update] = Program("kto_tui.data.program", [], Update, told=msgspec.json.encode(job))
        self._path = path

    def __iter__(self) -> Iterator[Update]:
        last: Update | None = None
        with self._program as program:
            for last in program:
                yield last
        if not isinstance(last, Examined | Refused):
            what = "The examination was cancelled" if program.cancelled else f"The examination ended: {program.ended}"
            mend = "Open the file again" if program.cancelled else "Open it again; kto-tui data check shows more"
            yield Refused(what=what, mend=mend, where=str(self._path))

    def cancel(self) -> None:
        """End it; nothing half-written stays."""
        self._program.cancel()
