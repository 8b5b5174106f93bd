"""What a folder holds: a saved data set, or shards of one kind, perhaps in configs and splits."""

import os
import re
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path
from typing import TypeVar

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.containers.card import read_card
from kto_tui.data.containers.files import ACCEPTED, sniff_file
from kto_tui.data.containers.kind import TITLES, Sniffed, place, printable, quoted
from kto_tui.data.containers.listing import Listing, list_folder, shown
from kto_tui.data.containers.saved import is_saved, sniff_saved
from kto_tui.errors import UserError
from kto_tui.repository import TRAIN, UnknownPartError, choose, choose_config, matches, named_configs, split_files

# Enough of each to tell what it is; there may be thousands.
_HEAD_BYTES = 64 * 1024
_NUMBERED = re.compile(r"-(?P<shard>[0-9]{5})-of-(?P<shards>[0-9]{5})")
_PARTED = re.compile(r"(?:^|/)([^/=]+)=[^/]*/")


class _Part(msgspec.Struct, frozen=True):
    """The files that are read and why these. ``left``: what belongs to no split."""

    names: Sequence[str]
    because: str = ""
    left: Sequence[str] = ()


def sniff_folder(folder: Path, choices: DataChoices) -> Sniffed:
    """What ``folder`` holds.

    Raises:
        UserError: nothing that can be read, files of several kinds, a broken or missing one, or a choice that is
            missing or does not fit.
    """
    if is_saved(folder):
        return sniff_saved(folder, choices.split)
    listing = list_folder(folder)
    part = _choose(folder, listing, choices)
    _require_all_shards(folder, part.names)
    if parted := next((found for name in part.names if (found := _PARTED.search(name))), None):
        what = f"The folder is partitioned: values of {quoted(parted[1])} are in the names of its folders"
        raise UserError(what, mend="Write the data without partitions", where=place(folder))
    members, skipped = _sniff_all(folder, part.names, choices)
    if not members:
        seen = f" (it holds {shown([*listing.data, *listing.ignored])})" if listing.data or listing.ignored else ""
        raise UserError(f"The folder holds no data{seen}", mend=f"Name files of {ACCEPTED}", where=place(folder))
    kinds = {member.kind: member for member in members}
    if len(kinds) > 1:
        which = ", ".join(f"{TITLES[kind]} ({place(it.path.relative_to(folder))})" for kind, it in kinds.items())
        raise UserError(
            f"The folder mixes {which}", mend="Keep files of one kind, or name one file", where=place(folder)
        )
    left = [*part.left, *skipped, *listing.ignored]
    reasons = [part.because, members[0].because, f"not read: {shown(left)}" if left else ""]
    title = _same(member.title for member in members) or TITLES[members[0].kind]
    return Sniffed(
        path=folder,
        kind="folder",
        title=f"Folder of {len(members):,} file{'s' * (len(members) != 1)}: {title}",
        confidence=min(member.confidence for member in members),
        because="; ".join(filter(None, reasons)),
        files=tuple(member.path for member in members),
        encoding=_same(member.encoding for member in members) or "",
        compression=_same(member.compression for member in members) or "",
        bytes_total=sum(member.bytes_total for member in members),
        members=tuple(members),
    )


def _choose(folder: Path, listing: Listing, choices: DataChoices) -> _Part:
    """The files that were meant: of one config and split where there are several."""
    listed = read_card(folder)
    configs = listed or named_configs(listing.data, choices.config)
    try:
        config = choose_config(configs, choices.config)
        splits = split_files(config, listing.data)
        left = splits.pop("", [])
        if not splits and choices.split is None:
            return _Part([])
        split = choose("split", splits, choices.split, TRAIN)
    except UnknownPartError as error:
        what = f"There is no {error.part} {error.asked!r}" if error.asked else f"There are several {error.part}s"
        known = ", ".join(map(printable, error.known[:50]))
        mend = f"Choose one of {known}" if known else f"Leave out the {error.part}"
        raise UserError(what, mend=mend, where=place(folder)) from None
    names = splits.pop(split)
    globs = [glob for glob in config.globs().get(split, []) if not (names and has_magic(glob))]
    if absent := [glob for glob in globs if not any(matches(name, glob) for name in names)]:
        what = f"README.md lists files of the split {printable(split)} that are not here ({shown(absent)})"
        raise UserError(what, mend="Download the whole data set, or choose another split", where=place(folder))
    if split == TRAIN and len(names) == len(listing.data):
        return _Part(names)
    of_config = f" of config {printable(str(config.config_name))}" if len(configs) > 1 or choices.config else ""
    because = f"split {printable(split)}{of_config}, as {'README.md says' if listed else 'the file names say'}"
    if choices.split is None and splits:
        because += f"; the splits {', '.join(map(printable, splits))} are not read"
    return _Part(names, because, left)


def _require_all_shards(folder: Path, names: Sequence[str]) -> None:
    """Refuse a set of numbered shards of which some are not here."""
    there: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if found := _NUMBERED.search(name):
            there.setdefault((name[: found.start("shard")], int(found["shards"])), set()).add(int(found["shard"]))
    for (begin, count), shards in there.items():
        if absent := sorted(set(range(count)) - shards):
            first = f"{printable(begin)}{absent[0]:05}-of-{count:05}"
            what = f"{len(absent)} of {count} shards are missing, the first is {first}"
            raise UserError(what, mend="Download the whole data set, or name single files", where=place(folder))


def _sniff_all(folder: Path, names: Iterable[str], choices: DataChoices) -> tuple[list[Sniffed], list[str]]:
    """Every file as it was sniffed, and those that are empty."""
    members: list[Sniffed] = []
    empty: list[str] = []
    for name in names:
        if os.path.isfile(path := folder / name) and os.path.getsize(path) == 0:  # noqa: PTH113, PTH202 - may fail
            empty.append(f"{name} (empty)")
        else:
            members.append(sniff_file(path, choices.encoding, _HEAD_BYTES))
    return members, empty


Value = TypeVar("Value")


def _same(values: Iterable[Value]) -> Value | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
