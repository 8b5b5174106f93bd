"""Moves a model's files from the hub into its cache.

huggingface_hub 2 throws half a file away when a download is interrupted. Here a file grows as
``blobs/ETAG.incomplete``, the name earlier versions resumed from, and becomes ``blobs/ETAG`` only when it is whole; the
library itself then makes refs and snapshots from the blobs it finds. Xet is off: its transfers do not resume by byte.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from filelock import FileLock, Timeout
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # documented, not re-exported

from kto_tui.hub import sentences
from kto_tui.hub.cache import folder_of, is_complete
from kto_tui.hub.failures import NetworkError, Refused
from kto_tui.hub.meter import Meter
from kto_tui.hub.selection import lacks_room, training_files
from kto_tui.hub.updates import Done
from kto_tui.paths import hub_cache, nearest_existing

WORKERS = 4
ANSWER_SECONDS = 10
# Where a token may be sent, besides the endpoint: a mirror may hand on to the hub itself.
HUBS = ("https://huggingface.co", "https://hf.co")
GIT_OR_SHA256 = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Progress moves by one chunk, and an interruption costs as much; the library's own are of 10 MiB.
constants.DOWNLOAD_CHUNK_SIZE = 256 * 1024


class RemoteFile(msgspec.Struct, frozen=True):
    """A file of the repository: its size in bytes and the name of its blob in the cache."""

    name: str
    size: int
    etag: str


def fetch(model_id: str, revision: str | None, meter: Meter, say: Callable[[str], None]) -> Done:
    """Bring ``model_id`` into the cache, going on from what earlier downloads left.

    Raises:
        Refused: renamed, not trainable, no room, damaged.
        Exception: whatever huggingface_hub raises; see ``kto_tui.hub.failures``.
    """
    info = HfApi().model_info(model_id, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)
    if info.id != model_id:
        raise Refused(sentences.renamed(info.id))
    files = _wanted(info.siblings or [])
    folder, commit = folder_of(model_id), str(info.sha)
    # Before a byte is fetched or a disk is blamed: may we read it at all? A gated model's list of files is public.
    get_hf_file_metadata(hf_hub_url(model_id, files[0].name, revision=commit), timeout=ANSWER_SECONDS)
    lock = hub_cache() / ".locks" / folder.name / "kto-tui.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _alone(FileLock(lock), say):
        # Files of the same content are one blob.
        blobs = {file.etag: file for file in files}.values()
        here = {file.name: _bytes_here(folder, commit, file) for file in blobs}
        missing = [file for file in blobs if not _is_whole(folder, commit, file)]
        needed = sum(file.size - here[file.name] for file in missing)
        free = shutil.disk_usage(nearest_existing(folder)).free
        if lacks_room(needed, free):
            raise Refused(sentences.no_room(needed, free, str(hub_cache())))
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        meter.start({file.name: file.size for file in blobs}, here)
        pool = ThreadPoolExecutor(WORKERS)
        # Not a with block: when one file fails the program ends, without waiting for the others.
        for future in as_completed(pool.submit(_fetch_file, model_id, commit, file, folder, meter) for file in missing):
            future.result()
        meter.tell()
        path = snapshot_download(model_id, revision=revision, allow_patterns=[file.name for file in files])
    if not is_complete(Path(path)):
        raise Refused(sentences.not_trainable("lacks weight files that its index names"))
    return Done(path=path, revision=commit, bytes_fetched=meter.fetched)


def _wanted(siblings: list[Any]) -> list[RemoteFile]:
    found = {one.rfilename: one for one in siblings}
    names = training_files(found)
    if not names:
        raise Refused(
            sentences.not_trainable("does not have a config.json, a tokenizer and safetensors or PyTorch weights")
        )
    files = []
    for one in (found[name] for name in names):
        etag = one.lfs.sha256 if one.lfs else one.blob_id
        if one.size is None or not GIT_OR_SHA256.fullmatch(etag or ""):
            raise Refused(sentences.not_a_hub())
        files.append(RemoteFile(one.rfilename, one.size, etag))
    return files


@contextmanager
def _alone(lock: FileLock, say: Callable[[str], None]) -> Iterator[None]:
    """Hold ``lock``; says so when another download of the same model has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another download of this model is running; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _part(folder: Path, etag: str) -> Path:
    return folder / "blobs" / f"{etag}.incomplete"


def _is_whole(folder: Path, commit: str, file: RemoteFile) -> bool:
    return (folder / "snapshots" / commit / file.name).exists() or (folder / "blobs" / file.etag).exists()


def _bytes_here(folder: Path, commit: str, file: RemoteFile) -> int:
    if _is_whole(folder, commit, file):
        return file.size
    part = _part(folder, file.etag)
    return min(part.stat().st_size, file.size) if part.exists() else 0


def _fetch_file(model_id: str, commit: str, file: RemoteFile, folder: Path, meter: Meter) -> None:
    """One blob, tried again for as long as each try brings some of it."""
    part = _part(folder, file.etag)
    part.touch()
    resumed = part.stat().st_size > 0
    while (before := part.stat().st_size) < file.size:
        try:
            _go_on(hf_hub_url(model_id, file.name, revision=commit), part, file, meter)
        except NetworkError:
            if part.stat().st_size <= before:
                raise
    if part.stat().st_size != file.size or (resumed and not _has_hash(part, file.etag)):
        part.unlink()
        raise Refused(sentences.damaged(file.name))
    part.replace(folder / "blobs" / file.etag)


def _go_on(url: str, part: Path, file: RemoteFile, meter: Meter) -> None:
    class Bar:
        """As much of tqdm as ``http_get`` uses."""

        def __init__(self, *, initial: int = 0, **_: object) -> None:
            meter.resume(file.name, initial)

        def update(self, count: int) -> None:
            meter.add(file.name, count)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

    answer = get_hf_file_metadata(url, timeout=ANSWER_SECONDS, retry_on_errors=True)
    headers = build_hf_headers(headers={"Accept-Encoding": "identity"})
    if urlsplit(answer.location)[:2] not in {urlsplit(own)[:2] for own in (url, *HUBS)}:
        headers.pop("authorization", None)  # a signed address on a host of its own: the token is none of its business
    bar: Any = Bar
    # Unbuffered: what was counted is on disk when the program is ended.
    with part.open("ab", buffering=0) as stream:
        http_get(
            answer.location,
            stream,
            resume_size=stream.tell(),
            headers=headers,
            expected_size=file.size,
            displayed_filename=file.name,
            tqdm_class=bar,
        )


def _has_hash(part: Path, etag: str) -> bool:
    """Whether a file has the SHA-256 that names its blob; the hashes of small files, git's own, are not checked."""
    if len(etag) < 64:
        return True
    with part.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == etag
