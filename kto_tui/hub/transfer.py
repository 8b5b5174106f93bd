"""Moves a repository's files from the hub into its cache.

huggingface_hub 2 throws half a file away when a download is interrupted. Here a file grows as
``blobs/ETAG.incomplete``, the name earlier versions resumed from, and becomes ``blobs/ETAG`` only when it is whole; the
library itself then makes refs and snapshots from the blobs it finds. Xet is off: its transfers do not resume by byte.
"""

import glob
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # documented, not re-exported

from kto_tui.catalog.config_file import read_config
from kto_tui.catalog.mlx import model_refusal
from kto_tui.catalog.model import ModelSpec
from kto_tui.errors import UserError
from kto_tui.hub import sentences
from kto_tui.hub.cache import folder_of, is_complete, record_dataset
from kto_tui.hub.failures import NetworkError, Refused
from kto_tui.hub.listing import ANSWER_SECONDS, RemoteFile, list_files
from kto_tui.hub.meter import Meter
from kto_tui.hub.request import NOUNS, Request
from kto_tui.hub.selection import lacks_room
from kto_tui.hub.updates import Done, Failed
from kto_tui.paths import hub_cache, nearest_existing

WORKERS = 4
# Where a token may be sent, besides the endpoint: a mirror may hand on to the hub itself.
HUBS = ("https://huggingface.co", "https://hf.co")
# Progress moves by one chunk, and an interruption costs as much; the library's own are of 10 MiB.
constants.DOWNLOAD_CHUNK_SIZE = 256 * 1024


def fetch(asked: Request, meter: Meter, say: Callable[[str], None]) -> Done:
    """Bring what is asked for into the cache, going on from what earlier downloads left.

    Raises:
        Refused: renamed, not trainable, no data, no room, damaged.
        UnknownPartError: see ``data_files``.
        Exception: whatever huggingface_hub raises; see ``kto_tui.hub.failures``.
    """
    listing = list_files(asked, say)
    files, folder, commit = listing.files, folder_of(asked.id, asked.repo_type), listing.commit
    # Before a byte is fetched or a disk is blamed: may we read it at all? The list of what is gated is public.
    get_hf_file_metadata(_url(asked, files[0], commit), timeout=ANSWER_SECONDS)
    lock = hub_cache() / ".locks" / folder.name / "kto-tui.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _alone(FileLock(lock), NOUNS[asked.repo_type], say):
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
        if asked.backend is not None and asked.repo_type == "model":
            config = next(file for file in files if file.name == "config.json")
            for first in [file for file in missing if file.etag == config.etag]:
                _fetch_file(_url(asked, first, commit), first, folder, meter)
                missing.remove(first)
            _check_config(asked, asked.backend, folder, commit, config)
        pool = ThreadPoolExecutor(WORKERS)
        # Not a with block: when one file fails the program ends, without waiting for the others.
        jobs = [pool.submit(_fetch_file, _url(asked, file, commit), file, folder, meter) for file in missing]
        for future in as_completed(jobs):
            future.result()
        meter.tell()
        names = [file.name for file in files]
        path = snapshot_download(
            asked.id,
            repo_type=asked.repo_type,
            revision=listing.revision,
            allow_patterns=[glob.escape(name) for name in names],
        )
        if asked.repo_type == "dataset":
            record_dataset(asked, Path(path).name, names)
    if asked.repo_type == "model" and not is_complete(Path(path)):
        raise Refused(sentences.not_trainable("lacks weight files that its index names"))
    return Done(path=path, revision=commit, bytes_fetched=meter.fetched)


def _url(asked: Request, file: RemoteFile, commit: str) -> str:
    return hf_hub_url(asked.id, file.name, repo_type=asked.repo_type, revision=commit)


def _check_config(asked: Request, backend: str, folder: Path, commit: str, file: RemoteFile) -> None:
    """Refuse what ``backend`` would refuse by the configuration alone, before the weights are fetched."""
    blob = folder / "blobs" / file.etag
    with tempfile.TemporaryDirectory() as beside:
        shutil.copy(blob if blob.exists() else folder / "snapshots" / commit / file.name, Path(beside) / "config.json")
        try:
            spec = read_config(Path(beside), ModelSpec(id=asked.id, title=asked.id))
        except UserError:  # whoever loads it tells of a broken one, and where it lies
            return
    if (refusal := model_refusal(spec, backend, max_length=asked.max_length)) is not None:
        raise Refused(Failed(kind="other", message=refusal.what, mend=refusal.mend))


@contextmanager
def _alone(lock: FileLock, noun: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold ``lock``; says so when another download of the same repository has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another download of this {noun} is running; waiting for it")
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


def _fetch_file(url: str, file: RemoteFile, folder: Path, meter: Meter) -> None:
    """One blob, tried again for as long as each try brings some of it."""
    part = _part(folder, file.etag)
    part.touch()
    resumed = part.stat().st_size > 0
    while (before := part.stat().st_size) < file.size:
        try:
            _go_on(url, part, file, meter)
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
