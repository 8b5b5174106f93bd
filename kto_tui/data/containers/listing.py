"""Which files of a folder hold data: in reading order, links to folders not followed, the rest named."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kto_tui.data.containers.kind import place
from kto_tui.errors import UserError
from kto_tui.repository import HIDDEN, data_among

MOST_FILES = 10_000
MOST_DEPTH = 12
ABOUT = re.compile(
    r"(readme|license|licence|notice|citation|changelog)\b.*|(dataset_infos?|dataset_dict|state|config)\.json"
    r"|.*\.(md|rst|py|ya?ml|toml|lock|sh|ipynb|png|jpe?g|gif|svg|pdf|html?|log|crc|sha256|md5)",
    re.IGNORECASE,
)
_DIGITS = re.compile("([0-9]+)")
_SHOWN = 8


class Listing(msgspec.Struct, frozen=True):
    """Paths relative to the folder, as POSIX text. ``ignored``: what is there and not read."""

    data: tuple[str, ...]
    ignored: tuple[str, ...]


def natural(name: str) -> list[tuple[str, int, str]]:
    """Sort key by which ``part-2`` comes before ``part-10``."""
    pieces = _DIGITS.split(name)
    pieces.append("")
    return [
        (text, len(digits.lstrip("0")), digits.lstrip("0"))
        for text, digits in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def list_folder(folder: Path) -> Listing:
    """The files below ``folder``; those named like data where there are any, else all of unknown names.

    Raises:
        UserError: it cannot be read, or is too large to be one data set.
    """
    found: list[str] = []
    ignored: list[str] = []
    for name in _walk(folder, "", ignored, 0):
        found.append(name)
        if len(found) > MOST_FILES:
            what = f"The folder holds more than {MOST_FILES:,} files"
            raise UserError(what, mend="Name the folder that holds nothing but the data", where=place(folder))
    found.sort(key=natural)
    about = {name for name in found if ABOUT.fullmatch(os.path.basename(name))}  # noqa: PTH119 - text, not paths
    data = data_among(found) or [name for name in found if name not in about]
    # What might have been meant as data comes first.
    rest = sorted(set(found) - set(data), key=lambda name: (name in about, natural(name)))
    return Listing(tuple(data), (*rest, *sorted(ignored)))


def _walk(folder: Path, inside: str, ignored: list[str], depth: int) -> Iterator[str]:
    if depth > MOST_DEPTH:
        ignored.append(inside)
        return
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{inside}{entry.name}"
                if entry.name.startswith(HIDDEN):
                    ignored.append(name)
                elif entry.is_dir(follow_symlinks=False):
                    yield from _walk(folder / entry.name, f"{name}/", ignored, depth + 1)
                elif os.path.isdir(entry):  # noqa: PTH112 - False, too, for links that lead nowhere
                    ignored.append(f"{name} (a link to a folder)")
                else:
                    yield name
    except OSError as error:
        mend = "Check its permissions"
        raise UserError(f"The folder cannot be read ({error.strerror})", mend=mend, where=place(folder)) from None


def shown(names: tuple[str, ...] | list[str]) -> str:
    """The first few of ``names`` for people."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(place(Path(name)) for name in names[:_SHOWN]) + more
