"""Which files of a data set's repository are fetched, and what text means one."""

import contextlib
import os
import posixpath
import re
from collections.abc import Iterable

import msgspec

from kto_tui.hub.cache import HUB_ID
from kto_tui.repository import (
    CARD,
    DATA,
    SAVED,
    Config,
    choose,
    choose_config,
    data_among,
    named_configs,
    split_files,
)

# The branch where the hub keeps its own conversion.
CONVERTED = "refs/convert/parquet"
PAGE = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)|hf:/)"
    rf"/datasets/({HUB_ID.pattern})(?:/(?:tree|blob|viewer)/[^?#]*)?/?(?:[?#].*)?",
    re.ASCII | re.IGNORECASE,
)


def dataset_id(text: str) -> str | None:
    """The id of a data set on the hub that ``text`` means, as ``org/name`` or its page; None for a path."""
    text = text.strip()
    if page := PAGE.fullmatch(text):
        return page[1]
    named = HUB_ID.fullmatch(text) and not DATA.fullmatch(text)
    return text if named and not os.path.lexists(text) else None


def read_configs(entries: object) -> list[Config]:
    """``configs:`` of a README, without what cannot be understood: too much is fetched rather than nothing."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        with contextlib.suppress(msgspec.ValidationError):
            found.append(msgspec.convert(entry, Config))
    return found


def data_files(names: Iterable[str], configs: list[Config], config: str | None, split: str | None) -> list[str]:
    """The files to fetch, the README first; empty when the repository, or this part of it, has no data.

    Raises:
        UnknownPartError: no such config or split; or several configs, none of them the default, and none is named.
    """
    present = sorted(names)
    if not (data := data_among(present)):
        return []
    splits = split_files(choose_config(configs or named_configs(data, config), config), data)
    if split is not None:
        splits = {split: splits[choose("split", {name for name in splits if name}, split, split)]}
    chosen = {file for files in splits.values() for file in files}
    folders = {posixpath.dirname(file) for file in chosen if file.endswith(".arrow")}
    beside = [name for name in present if posixpath.basename(name) in SAVED and _holds(name, folders)]
    return [*(name for name in present if name == CARD), *beside, *sorted(chosen)] if chosen else []


def _holds(name: str, folders: set[str]) -> bool:
    """Whether the folder of ``name`` is one of ``folders`` or above one."""
    parent = posixpath.dirname(name)
    return any(folder == parent or folder.startswith(f"{parent}/" if parent else "") for folder in folders)
