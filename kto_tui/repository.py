"""Which files of a data set's repository are data, and which of these belong to a config and a split.

The rules are those of the library ``datasets`` (its guide "Structure your repository"): the README's ``configs:``
first, else what folders and file names say. A name's split is told by that name alone: a repository of which a part
is here is read like the whole.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape

import msgspec

CARD = "README.md"
DEFAULT = "default"
TRAIN = "train"
# Beginning of a split's folder in the hub's own conversion of large data sets, of which it has the first part only.
PARTIAL = "partial-"
DATA = re.compile(r".+\.(?:jsonl?|ndjson|csv|tsv|parquet|arrow|feather|ipc)(?:\.(?:gz|gzip|zst|zstd))?", re.IGNORECASE)
HIDDEN = (".", "__")
# What ``save_to_disk`` writes beside its shards, and other JSON that holds no rows.
SAVED = {"dataset_dict.json", "dataset_info.json", "state.json"}
_NO_ROWS = SAVED | {"config.json", "dataset_infos.json"}
_CONVERTED = re.compile(r"([^/]+)/([^/]+)/[0-9]{4}\.parquet")
_SHARD = re.compile(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}.*", re.ASCII)
_SPLIT_WORD = re.compile(
    r"(?:^|[-._ 0-9])(?:(?P<train>train|training)|(?P<validation>validation|valid|dev|val)"
    r"|(?P<test>test|testing|eval|evaluation))(?=[-._ 0-9]|$)",
    re.IGNORECASE,
)


class SplitFiles(msgspec.Struct, frozen=True):
    """Where a split is: one path or several, with wildcards."""

    split: str | int
    path: str | list[str]


class Config(msgspec.Struct, frozen=True):
    """An entry of ``configs:`` as far as it says where files are."""

    config_name: str | int
    data_files: str | list[str | SplitFiles] | None = None
    data_dir: str | None = None
    default: bool = False

    def globs(self) -> dict[str, list[str]]:
        """The paths with wildcards that are listed for each split; empty where names decide."""
        found: dict[str, list[str]] = {}
        for entry in [self.data_files] if isinstance(self.data_files, str) else self.data_files or []:
            split, paths = (TRAIN, entry) if isinstance(entry, str) else (str(entry.split), entry.path)
            listed = [paths] if isinstance(paths, str) else paths
            found.setdefault(split, []).extend(posixpath.join(self.data_dir or "", path) for path in listed)
        return found


class UnknownPartError(LookupError):
    """The data set has no such config or split, or several and no ``asked`` one; ``known`` are those it has."""

    def __init__(self, part: str, asked: str | None, known: Iterable[str]) -> None:
        super().__init__(part)
        self.part, self.asked, self.known = part, asked, tuple(sorted(known))


def read_part(part: str) -> tuple[str | None, str | None]:
    """Config and split that ``SPLIT`` or ``CONFIG/SPLIT`` names."""
    config, _, split = part.rpartition("/")
    return config or None, split or None


def data_among(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that hold rows, by their names."""
    return [
        name
        for name in names
        if DATA.fullmatch(name)
        and not any(part.startswith(HIDDEN) for part in name.split("/"))
        and posixpath.basename(name) not in _NO_ROWS
    ]


def named_configs(data: Sequence[str], asked: str | None) -> list[Config]:
    """The configs of a repository whose README lists none.

    Those of the hub's own conversion are its folders: CONFIG/SPLIT/0000.parquet, nothing else says so in a copy of it.
    Any other repository has one, the default; or, where somebody asks for it, a folder.
    """
    converted = [found for name in data if (found := _CONVERTED.fullmatch(name))]
    if data and len(converted) == len(data):
        folders: dict[str, list[SplitFiles]] = {}
        for config, split in sorted({(found[1], found[2]) for found in converted}):
            path = escape(f"{config}/{split}") + "/*"
            folders.setdefault(config, []).append(SplitFiles(split.removeprefix(PARTIAL), path))
        return [Config(config, list(splits)) for config, splits in folders.items()]
    tops = sorted({name.split("/")[0] for name in data if "/" in name})
    if asked is None or (asked == DEFAULT and asked not in tops):
        return [Config(DEFAULT)]
    return [Config(name, data_dir=name) for name in tops if name != "data" and not _SPLIT_WORD.search(name)]


def choose_config(configs: Iterable[Config], asked: str | None) -> Config:
    """The config that is ``asked`` for; else the only or default one.

    Raises:
        UnknownPartError: there is none such.
    """
    by_name = {str(config.config_name): config for config in configs}
    usual = next((name for name, config in by_name.items() if config.default), DEFAULT)
    return by_name[choose("config", by_name, asked, usual)]


def choose(part: str, known: Collection[str], asked: str | None, usual: str) -> str:
    """What is ``asked`` for; else the only one of ``known``, or the ``usual`` one.

    Raises:
        UnknownPartError: it is not known.
    """
    chosen = asked if asked is not None else next(iter(known)) if len(known) == 1 else usual
    if chosen not in known:
        raise UnknownPartError(part, asked, known)
    return chosen


def split_files(config: Config, data: Iterable[str]) -> dict[str, list[str]]:
    """The files of each split of ``config``; those whose names tell none are under "", or all of them train."""
    if config.data_files is not None:
        return {
            split: list(dict.fromkeys(name for glob in globs for name in data if matches(name, glob)))
            for split, globs in config.globs().items()
        }
    folder = f"{posixpath.normpath(config.data_dir or '.')}/".removeprefix("./")
    found: dict[str, list[str]] = {}
    for name in data:
        if name.startswith(folder):
            found.setdefault(_told_split(name.removeprefix(folder)), []).append(name)
    return {TRAIN: found[""]} if list(found) == [""] else found


def _told_split(name: str) -> str:
    """What the shard's name, its folders from the inmost outwards, or its own name say; "" for nothing."""
    if shard := _SHARD.fullmatch(name):
        return shard[1]
    *folders, file = name.split("/")
    words = (_SPLIT_WORD.search(part) for part in (*reversed(folders), file))
    return next((word.lastgroup or "" for word in words if word), "")


def matches(name: str, path: str) -> bool:
    """Whether ``path`` with its wildcards means ``name``: ``**`` stands for any folders, ``*`` ends at a slash."""
    parts = name.split("/")
    reached = {0}  # how many parts the path so far may stand for
    for piece in posixpath.normpath(path).split("/"):
        if piece == "**":
            reached = {to for at in reached for to in range(at, len(parts) + 1)}
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], piece)}
    return len(parts) in reached
