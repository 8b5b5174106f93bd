"""What a path holds: a file of any kind, a folder of shards, or a saved data set."""

from pathlib import Path
from stat import S_ISDIR

from kto_tui.choices import DataChoices
from kto_tui.data.containers.files import sniff_file
from kto_tui.data.containers.folders import sniff_folder
from kto_tui.data.containers.kind import Sniffed, place
from kto_tui.data.containers.stream import look
from kto_tui.errors import UserError

__all__ = ["Sniffed", "sniff"]


def sniff(path: Path, choices: DataChoices) -> Sniffed:
    """What ``path`` is, by content; reads a few megabytes at most. Encoding, config and split may be chosen.

    Raises:
        UserError: it is no data or cannot be read, or the choice does not fit.
    """
    if S_ISDIR(look(path).st_mode):
        return sniff_folder(path, choices)
    for name in ("split", "config"):
        if getattr(choices, name) is not None:
            raise UserError(f"A single file has no {name}", mend=f"Leave out the {name}", where=place(path))
    return sniff_file(path, choices.encoding)
