"""A run's checkpoints: whole or absent, each with a manifest that tells a damaged one from a good one."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import xxhash

from kto_tui.atomic import write_atomically
from kto_tui.recipe import Value
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import is_alive, own_identity, read_identity, write_identity

MANIFEST = "checkpoint.json"
VERSION = 1
# Stays free beside a checkpoint: the event log goes on, and the adapter is yet to come.
RESERVE_BYTES = 64 * 1024**2
_BLOCK_BYTES = 1024**2
_WRITER = "writer.json"
# What stands aside while a checkpoint of the same step takes its place is one too.
_NAME = re.compile(r"checkpoint-([0-9]+)(\.old)?")


class FileSum(msgspec.Struct, frozen=True):
    """Size in bytes and xxh3_128 digest of one file."""

    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds and what it belongs to.

    Attributes:
        step: optimizer steps done.
        total_steps: planned.
        epoch: whole passes over the training rows done.
        window: index within its epoch of the window that comes next.
        versions: of the packages that decide a result.
        fingerprints: of data, model and device, by name.
        recipe: in force when it was written.
        files: by name relative to the folder; filled in by ``seal``.
        written_at: Unix time in seconds.
    """

    step: int
    total_steps: int
    epoch: int
    window: int
    versions: dict[str, str]
    fingerprints: dict[str, str]
    recipe: dict[str, Value]
    files: dict[str, FileSum] = {}
    written_at: float = 0.0
    version: int = VERSION


class _Sealed(msgspec.Struct, frozen=True):
    """``checkpoint.json``: the manifest and the xxh3_128 digest of its bytes."""

    digest: str
    manifest: msgspec.Raw


class Checkpoint(msgspec.Struct, frozen=True):
    """A sealed checkpoint in ``path``."""

    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.manifest.step

    @property
    def size_bytes(self) -> int:
        """Bytes of its files, without the manifest."""
        return sum(file.size for file in self.manifest.files.values())


class DamagedError(Exception):
    """A checkpoint is not what was sealed; says in words what is wrong with it."""


def _sum(path: Path, *, flush: bool = False) -> FileSum:
    digest, size = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
        if flush:
            os.fsync(file.fileno())
    return FileSum(size, digest.hexdigest())


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Under a name that is no checkpoint's first, so that a removal cut short leaves no damaged one."""
    hidden = folder if folder.name.startswith(".") else folder.with_name(f".{folder.name}.removed")
    with contextlib.suppress(OSError):
        folder.rename(hidden)
        folder = hidden
    shutil.rmtree(folder, ignore_errors=True)


def begin(run: RunFolder, step: int) -> Path:
    """A hidden folder to write the checkpoint of ``step`` into; ``seal`` or ``discard`` it.

    Raises:
        OSError: it cannot be made.
    """
    run.checkpoints.mkdir(mode=0o700, exist_ok=True)
    build = Path(tempfile.mkdtemp(prefix=f".checkpoint-{step}.", dir=run.checkpoints))
    write_identity(build / _WRITER, own_identity())
    return build


def discard(build: Path) -> None:
    """Remove what ``begin`` made; never fails."""
    shutil.rmtree(build, ignore_errors=True)


def seal(build: Path, run: RunFolder, manifest: Manifest) -> Checkpoint:
    """Flush every file of ``build`` to disk, add the manifest, and rename: from then on it is the run's checkpoint.

    A checkpoint of the same step is replaced; until the new one has its name, the old one is found.

    Raises:
        OSError: it cannot be written; ``build`` is left for ``discard``.
    """
    (build / _WRITER).unlink()
    below = sorted(build.rglob("*"))
    files = {path.relative_to(build).as_posix(): _sum(path, flush=True) for path in below if path.is_file()}
    manifest = msgspec.structs.replace(manifest, files=files, written_at=round(time.time(), 3))
    body = msgspec.json.encode(manifest)
    sealed = _Sealed(xxhash.xxh3_128_hexdigest(body), msgspec.Raw(body))
    write_atomically(build / MANIFEST, msgspec.json.encode(sealed))
    for folder in (*(path for path in below if path.is_dir()), build):
        _flush_folder(folder)
    target = run.checkpoints / f"checkpoint-{manifest.step}"
    aside = target.with_name(f"{target.name}.old")
    if target.exists():
        if aside.exists():
            _remove(aside)
        target.rename(aside)
    build.rename(target)
    _flush_folder(run.checkpoints)
    if aside.exists():
        _remove(aside)
    return Checkpoint(target, manifest)


def check(folder: Path, *, sizes_only: bool = False) -> Checkpoint:
    """The checkpoint in ``folder``, every byte of which is as it was sealed.

    Args:
        folder: of the checkpoint.
        sizes_only: quick: trust the contents of files that have the right size.

    Raises:
        DamagedError: it is not.
    """
    try:
        sealed = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Sealed)
        if xxhash.xxh3_128_hexdigest(bytes(sealed.manifest)) != sealed.digest:
            raise DamagedError(f"{MANIFEST} is damaged")
        manifest = msgspec.json.decode(sealed.manifest, type=Manifest)
    except FileNotFoundError:
        raise DamagedError(f"it has no {MANIFEST}, so it was never finished") from None
    except OSError as error:
        raise DamagedError(f"{MANIFEST} cannot be read ({error.strerror or error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DamagedError(f"{MANIFEST} is damaged or of another version") from None
    if manifest.version != VERSION:
        raise DamagedError(f"it is of version {manifest.version}, this program reads {VERSION}")
    for name, sealed_sum in manifest.files.items():
        _check_file(folder / name, name, sealed_sum, sizes_only=sizes_only)
    return Checkpoint(folder, manifest)


def _check_file(path: Path, name: str, sealed: FileSum, *, sizes_only: bool) -> None:
    try:
        size = path.stat().st_size
        if size != sealed.size:
            raise DamagedError(f"{name} has {size} of {sealed.size} bytes")
        if not sizes_only and _sum(path) != sealed:
            raise DamagedError(f"{name} is damaged")
    except FileNotFoundError:
        raise DamagedError(f"{name} is missing") from None
    except OSError as error:
        raise DamagedError(f"{name} cannot be read ({error.strerror or error})") from None


def _folders(run: RunFolder) -> list[Path]:
    """What may be checkpoints, newest step first."""
    try:
        names = os.listdir(run.checkpoints)  # noqa: PTH208 - one call that fails, or none
    except OSError:
        return []
    found = [(int(match[1]), match[2] is None, name) for name in names if (match := _NAME.fullmatch(name))]
    return [run.checkpoints / name for _, _, name in sorted(found, reverse=True)]


def newest_valid(run: RunFolder) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint every byte of which is as it was sealed, and a remark for each newer one that is not."""
    remarks: list[str] = []
    for folder in _folders(run):
        try:
            return check(folder), remarks
        except DamagedError as damage:
            remarks.append(f"Skipped {folder.name}: {damage}")
    return None, remarks


def newest_size(run: RunFolder) -> int | None:
    """Bytes of the newest checkpoint that looks whole, which is about what the next one takes; None: there is none."""
    for folder in _folders(run):
        with contextlib.suppress(DamagedError):
            return check(folder, sizes_only=True).size_bytes
    return None


def prune(run: RunFolder, limit: int) -> None:
    """Remove all but the newest ``limit`` checkpoints, and what dead writers left half-written.

    Nothing is removed before a newer checkpoint was read and found good.
    """
    for build in run.checkpoints.glob(".checkpoint-*"):
        writer = read_identity(build / _WRITER)
        if writer is None or is_alive(writer) is False:
            _remove(build)
    kept = 0
    for folder in _folders(run):
        whole = False
        if kept < limit:
            with contextlib.suppress(DamagedError):
                check(folder, sizes_only=kept > 0)
                whole = True
        if whole:
            kept += 1
        elif kept:
            _remove(folder)


def make_room(run: RunFolder, expected: int, limit: int) -> int:
    """Bytes still to be freed before a checkpoint of ``expected`` bytes fits; 0: there is room.

    An older checkpoint than the newest goes first where that helps; ``limit`` is how many are kept otherwise.
    """
    missing = _missing(run, expected)
    if missing and limit > 1:
        prune(run, limit - 1)
        missing = _missing(run, expected)
    return missing


def _missing(run: RunFolder, expected: int) -> int:
    try:
        free = shutil.disk_usage(run.path).free
    except OSError:  # the writing itself will tell
        return 0
    return max(0, expected + RESERVE_BYTES - free)
