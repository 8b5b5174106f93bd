"""What is in the hub's cache, read from its folder layout (blobs, refs, snapshots); nothing asks the network.

Layout: huggingface_hub's guide "Understand caching". Which endpoint a model came from is not written there.
"""

import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kto_tui.atomic import write_atomically
from kto_tui.errors import UserError
from kto_tui.hub.request import RepoType, Request
from kto_tui.hub.selection import describes_model, index_of, weights_among
from kto_tui.paths import hub_cache

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
# Beside a data set's blobs, and deleted with them: what was asked for is not to be seen from the files.
RECORD = "kto-tui.json"


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot. ``complete``: a configuration, a tokenizer and every weight file it names are there."""

    commit: str
    refs: tuple[str, ...]
    complete: bool
    path: str


class CachedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the cache.

    Attributes:
        size_bytes: of all its files, each counted once however many revisions show it, unfinished parts included.
        unfinished_bytes: parts of interrupted downloads (``*.incomplete``).
        last_used: Unix seconds; the newest access time of its files as the file system keeps it, None without files.
    """

    id: str
    path: str
    revisions: tuple[Revision, ...]
    size_bytes: int
    unfinished_bytes: int
    last_used: float | None

    @property
    def main(self) -> Revision | None:
        """The revision that training takes: that of the ref ``main``."""
        return next((revision for revision in self.revisions if "main" in revision.refs), None)

    @property
    def complete(self) -> bool:
        """Whether it can be trained as it is here."""
        return self.main is not None and self.main.complete


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished download of a data set was asked for, and the files it brought."""

    revision: str | None
    config: str | None
    split: str | None
    commit: str
    files: tuple[str, ...]


def folder_of(repo_id: str, repo_type: RepoType = "model") -> Path:
    """Where the cache keeps ``repo_id``, whether it is there or not."""
    return hub_cache() / f"{repo_type}s--{repo_id.replace('/', '--')}"


def cached_dataset(
    data_id: str, revision: str | None = None, config: str | None = None, split: str | None = None
) -> Path | None:
    """Folder of what an earlier download of this part, or of all splits, brought; None where a file of it is gone.

    What other programs fetched is not taken: whether it is all there only the hub can tell.
    """
    folder = folder_of(data_id, "dataset")
    for one in _fetched(folder) if HUB_ID.fullmatch(data_id) else []:
        if (one.revision, one.config) == (revision, config) and one.split in {None, split}:
            snapshot = folder / "snapshots" / one.commit
            if all((snapshot / file).exists() for file in one.files):
                return snapshot
    return None


def record_dataset(asked: Request, commit: str, files: Iterable[str]) -> None:
    """Remember that ``files`` are here, and that they are all that was asked for."""
    folder = folder_of(asked.id, "dataset")
    told = Fetched(revision=asked.revision, config=asked.config, split=asked.split, commit=commit, files=tuple(files))
    key = (told.revision, told.config, told.split)
    others = [one for one in _fetched(folder) if (one.revision, one.config, one.split) != key]
    write_atomically(folder / RECORD, msgspec.json.encode([told, *others]))


def _fetched(folder: Path) -> list[Fetched]:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=list[Fetched])
    return []


def cached(model_id: str) -> CachedModel | None:
    """What is here of ``model_id``; None when there is nothing."""
    folder = folder_of(model_id)
    return _read(folder) if HUB_ID.fullmatch(model_id) and folder.is_dir() else None


def cached_models() -> list[CachedModel]:
    """Every model in the cache of which there is a byte, by id.

    Raises:
        UserError: the cache is no folder, or one that cannot be read.
    """
    try:
        folders = sorted(path for path in hub_cache().iterdir() if path.name.startswith("models--") and path.is_dir())
    except FileNotFoundError:  # nothing was ever downloaded
        return []
    except OSError as error:
        what = "This is no folder" if isinstance(error, NotADirectoryError) else f"Unreadable ({error.strerror})"
        mend = "Set HF_HOME or HF_HUB_CACHE to a folder of yours"
        raise UserError(what, mend=mend, where=str(hub_cache())) from None
    return [model for model in map(_read, folders) if model.size_bytes]


def _read(folder: Path) -> CachedModel:
    files = {}
    for path in [*folder.glob("blobs/*"), *folder.glob("snapshots/**/*")]:
        with contextlib.suppress(OSError):  # a link whose blob is gone, or a file deleted meanwhile
            if path.is_file():
                status = path.stat()
                files[status.st_dev, status.st_ino] = (status, path.name.endswith(".incomplete"))
    refs: dict[str, list[str]] = {}
    for ref in sorted(folder.glob("refs/**/*")):
        with contextlib.suppress(OSError, ValueError):
            if ref.is_file():
                commit = ref.read_text(encoding="ascii").strip()
                refs.setdefault(commit, []).append(ref.relative_to(folder / "refs").as_posix())
    return CachedModel(
        id=folder.name.removeprefix("models--").replace("--", "/"),
        path=str(folder),
        revisions=tuple(
            Revision(
                commit=snapshot.name,
                refs=tuple(refs.get(snapshot.name, ())),
                complete=is_complete(snapshot),
                path=str(snapshot),
            )
            for snapshot in sorted(folder.glob("snapshots/*"))
            if snapshot.is_dir()
        ),
        size_bytes=sum(status.st_size for status, _ in files.values()),
        unfinished_bytes=sum(status.st_size for status, unfinished in files.values() if unfinished),
        last_used=max((status.st_atime for status, _ in files.values()), default=None),
    )


def is_complete(snapshot: Path) -> bool:
    """Whether a checkpoint folder has a configuration, a tokenizer and all weights that its index or names promise."""
    present = {path.name for path in snapshot.glob("*") if path.exists()}
    weights = weights_among(present)
    if not weights or not describes_model(present):
        return False
    if (index := index_of(weights)) is None:
        return True
    with contextlib.suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
        return set(json.loads((snapshot / index).read_text(encoding="utf-8"))["weight_map"].values()) <= present
    return False
