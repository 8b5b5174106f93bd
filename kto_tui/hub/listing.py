"""Asks the hub which files a repository has, and settles which of them are fetched, from which revision."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from huggingface_hub import HfApi
from huggingface_hub.errors import RevisionNotFoundError

from kto_tui.hub import sentences
from kto_tui.hub.data_files import CONVERTED, data_files, read_configs
from kto_tui.hub.failures import Refused
from kto_tui.hub.request import Request
from kto_tui.hub.selection import training_files
from kto_tui.repository import PARTIAL, UnknownPartError

ANSWER_SECONDS = 10
GIT_OR_SHA256 = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class RemoteFile(msgspec.Struct, frozen=True):
    """A file of the repository: its size in bytes and the name of its blob in the cache."""

    name: str
    size: int
    etag: str


class Listing(msgspec.Struct, frozen=True):
    """The files to fetch, never none; ``revision`` is where they are taken from, ``commit`` what it means now."""

    revision: str | None
    commit: str
    files: list[RemoteFile]


def list_files(asked: Request, say: Callable[[str], None]) -> Listing:
    """What to fetch for ``asked``.

    Raises:
        Refused: renamed, no checkpoint, no data files, no hub.
        UnknownPartError: see ``data_files``.
        Exception: whatever huggingface_hub raises.
    """
    if asked.repo_type == "dataset":
        return _list_data(asked, say)
    info = _ask(asked, asked.revision)
    if names := training_files(_names(info)):
        return _listing(info, asked.revision, names)
    raise Refused(
        sentences.not_trainable("does not have a config.json, a tokenizer and safetensors or PyTorch weights")
    )


def _list_data(asked: Request, say: Callable[[str], None]) -> Listing:
    """The author's own files if there are any, else the hub's conversion of them. No program is ever fetched or run."""
    info = _ask(asked, asked.revision)
    names = _names(info)
    script = next((name for name in names if name == f"{asked.id.split('/')[1]}.py"), None)
    # The card that is told of the conversion may be that of main.
    configs = read_configs((info.card_data or {}).get("configs") if asked.revision != CONVERTED else None)
    trouble: Exception = Refused(sentences.no_data(script))
    try:
        if chosen := data_files(names, configs, asked.config, asked.split):
            if script is not None:
                say(sentences.not_run(script))
            return _listing(info, asked.revision, chosen)
    except UnknownPartError as error:
        trouble = error
        if script is None:  # else the program may have made that part of the files, and the conversion has it
            raise
    if asked.revision not in {None, "main"}:  # the conversion is of main
        raise trouble
    try:
        info = _ask(asked, CONVERTED)
    except RevisionNotFoundError:
        raise trouble from None
    names = _names(info)
    chosen = data_files(names, [], asked.config, asked.split)
    if not chosen:
        raise trouble
    say(sentences.converted(partial=any(f"/{PARTIAL}" in name for name in chosen)))
    return _listing(info, CONVERTED, chosen)


def _ask(asked: Request, revision: str | None) -> Any:  # noqa: ANN401 - ModelInfo or DatasetInfo
    info: Any = HfApi().repo_info(
        asked.id, repo_type=asked.repo_type, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS
    )
    if info.id != asked.id:
        raise Refused(sentences.renamed(info.id, asked.repo_type))
    return info


def _names(info: Any) -> list[str]:  # noqa: ANN401
    return [one.rfilename for one in info.siblings or []]


def _listing(info: Any, revision: str | None, names: list[str]) -> Listing:  # noqa: ANN401
    found = {one.rfilename: one for one in info.siblings}
    files = []
    for one in (found[name] for name in names):
        etag = one.lfs.sha256 if one.lfs else one.blob_id
        if one.size is None or not GIT_OR_SHA256.fullmatch(etag or ""):
            raise Refused(sentences.not_a_hub())
        files.append(RemoteFile(one.rfilename, one.size, etag))
    return Listing(revision, str(info.sha), files)
