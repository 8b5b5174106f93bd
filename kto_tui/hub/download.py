"""Starts the download program and hands on what it says; no library of the hub's is imported here."""

from collections.abc import Iterable, Iterator

from kto_tui.hub import sentences
from kto_tui.hub.cache import HUB_ID, cached
from kto_tui.hub.request import RepoType
from kto_tui.hub.updates import Done, Failed, Progressed, Update
from kto_tui.program import Program
from kto_tui.starter import MODEL_ID


def must_fetch(model_id: str) -> bool:
    """Whether ``model_id`` must be downloaded before it can be trained: a hub id of which not all is here.

    The starter model has a second source and is fetched by the backend.
    """
    if model_id == MODEL_ID or not HUB_ID.fullmatch(model_id):
        return False
    found = cached(model_id)
    return found is None or not found.complete


def to_fetch(model_id: str, size: int | None) -> int | None:
    """How much of a model's ``size`` bytes is not here yet; None where its size is unknown."""
    found = cached(model_id)
    if size is None or found is None:
        return size
    return 0 if found.complete else max(0, size - found.size_bytes)


class Download(Program[Update]):
    """One running download of what ``Request`` describes. What has arrived when it ends is gone on from next time.

    The last update is ``Done`` or ``Failed``.
    """

    def __init__(
        self,
        repo_id: str,
        revision: str | None = None,
        repo_type: RepoType = "model",
        config: str | None = None,
        split: str | None = None,
        backend: str | None = None,
        max_length: int | None = None,
    ) -> None:
        part = {
            "repo-type": repo_type, "revision": revision, "config": config, "split": split, "backend": backend,
            "max-length": max_length,
        }  # fmt: skip
        asked = [f"--{name}={value}" for name, value in part.items() if value is not None]
        super().__init__("kto_tui.hub.fetch", [*asked, "--", repo_id], Update)

    def __iter__(self) -> Iterator[Update]:
        last: Update | None = None
        for last in super().__iter__():
            yield last
        if not isinstance(last, Done | Failed):
            yield sentences.interrupted() if self.cancelled else sentences.unexpected(self.ended or "exit code 0")


def tenths(updates: Iterable[Update]) -> Iterator[Update]:
    """``updates`` with at most one progress per 10 %: for logs and lines."""
    told = -1
    for update in updates:
        if isinstance(update, Progressed):
            tenth = int(update.share * 10)
            if tenth <= told:
                continue
            told = tenth
        yield update
