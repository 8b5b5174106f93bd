"""Folders that ``Dataset.save_to_disk`` and ``DatasetDict.save_to_disk`` of the datasets library write."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from kto_tui.data.containers.files import sniff_file
from kto_tui.data.containers.kind import BrokenFileError, Sniffed, place, printable
from kto_tui.data.containers.stream import AGAIN, Source
from kto_tui.errors import UserError
from kto_tui.repository import TRAIN
from kto_tui.units import MIB

STATE = "state.json"
INFO = "dataset_info.json"
SPLITS = "dataset_dict.json"
_MOST_BYTES = 16 * MIB


class _File(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    data_files: list[_File] = msgspec.field(name="_data_files")
    indices_files: list[_File] | None = msgspec.field(name="_indices_data_files", default=None)


class _Splits(msgspec.Struct):
    splits: list[str]


def is_saved(folder: Path) -> bool:
    """Whether one of the two wrote ``folder``."""
    # os.path, for pathlib raises where it may not look
    splits, state, info = (os.path.isfile(folder / name) for name in (SPLITS, STATE, INFO))  # noqa: PTH113
    return splits or (state and info)


def sniff_saved(folder: Path, split: str | None) -> Sniffed:
    """The shards of a saved data set, in its own order.

    Raises:
        UserError: no split is chosen of several, there is no such one, or a file is missing or damaged.
    """
    if (folder / SPLITS).exists():
        splits = _read(folder / SPLITS, _Splits).splits
        if any("/" in name or name in {"", ".", ".."} or "\0" in name for name in splits):
            raise UserError("Its splits are no plain names", mend=AGAIN, where=place(folder / SPLITS))
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            what = "The data set has several splits" if split is None else f"There is no split {split!r}"
            raise UserError(
                what, mend=f"Choose one of {', '.join(map(printable, splits)) or 'none'}", where=place(folder)
            )
        chosen, because = folder / str(split), f"split {printable(str(split))} as {SPLITS} names it"
    elif split not in {None, TRAIN}:
        raise UserError("The saved data set has no splits", mend="Leave out the split", where=place(folder))
    else:
        chosen, because = folder, f"{STATE} names its shards"
    state = _read(chosen / STATE, _State)
    if state.indices_files:
        mend = "Load it with datasets, call flatten_indices(), and save it again"
        raise UserError("The rows are a selection kept in an index file", mend=mend, where=place(chosen))
    names = [file.filename for file in state.data_files]
    if any("/" in name or "\0" in name for name in names):
        raise UserError("Its shards lie outside the folder", mend=AGAIN, where=place(chosen / STATE))
    members = tuple(sniff_file(chosen / name) for name in names)
    if odd := next((member for member in members if member.kind != "arrow"), None):
        raise UserError(f"The shard is {odd.title}, not Arrow", mend=AGAIN, where=place(odd.path))
    if not members:
        raise UserError("The saved data set has no shards", mend=AGAIN, where=place(chosen))
    return Sniffed(
        path=folder,
        kind="saved",
        title=f"Saved data set, {len(members)} shard{'s' * (len(members) != 1)}",
        confidence=1.0,
        because=because,
        files=tuple(member.path for member in members),
        bytes_total=sum(member.bytes_total for member in members),
        members=members,
    )


Shape = TypeVar("Shape")


def _read(path: Path, shape: type[Shape]) -> Shape:
    try:
        with Source(path) as source:
            return msgspec.json.decode(source.raw.read(_MOST_BYTES), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BrokenFileError, OSError) as error:
        what = f"The file of a saved data set cannot be read ({error})"
        raise UserError(what, mend=AGAIN, where=place(path)) from None
