"""Reference log-probabilities, computed once per window and kept on disk for later epochs and runs."""

import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kto_tui.paths import keep_newest, make_private

KEPT_FILES = 32
# Of each weights file so much is read at so many places: enough to tell fine-tunes of one model apart in milliseconds.
SAMPLE_BYTES, SAMPLES = 65_536, 16


class WindowReference(msgspec.Struct, frozen=True, array_like=True):
    """Scores of one window under the reference model.

    Attributes:
        window: index within the epoch.
        cuts: sizes of the packs it was scored in; bf16 scores hold for these alone.
        matched: log p_ref(y|x) per row.
        mismatched: log p_ref(y'|x) per row; empty when the loss has no KL term.
    """

    window: int
    cuts: tuple[int, ...]
    matched: tuple[float, ...]
    mismatched: tuple[float, ...]


def _checked(line: bytes) -> WindowReference | None:
    """The scores that ``line`` holds, None if it is torn or damaged."""
    digest, _, body = line.partition(b" ")
    if digest != b"%08x" % zlib.crc32(body):
        return None
    try:
        found = msgspec.json.decode(body, type=WindowReference)
    except msgspec.DecodeError:
        return None
    rows = sum(found.cuts)
    return found if len(found.matched) == rows and len(found.mismatched) in {0, rows} else None


def model_fingerprint(folder: Path, *, strict: bool = True) -> str:
    """SHA-256 over the configuration, and names, sizes and samples of the weights files in ``folder``.

    Args:
        folder: of the model.
        strict: over the weights' times and every other JSON file too; False where a fresh copy is the same model.
    """
    digest = hashlib.sha256()
    texts = sorted(folder.glob("*.json" if strict else "config.json"))
    for path in texts + sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin")):
        status = path.stat()
        size = status.st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            if path.suffix == ".json":
                digest.update(file.read())
                continue
            if strict:
                digest.update(str(status.st_mtime_ns).encode())
            for sample in range(SAMPLES):
                file.seek(max(0, (size - SAMPLE_BYTES) * sample // (SAMPLES - 1)))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def kernels_fingerprint(folder_of_code: Path) -> str:
    """SHA-256 over the modules that score, all in one folder: another version of them rounds differently."""
    digest = hashlib.sha256()
    for path in sorted(folder_of_code.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_key(parts: Mapping[str, str]) -> str:
    """SHA-256 over everything the scores depend on, by name."""
    return hashlib.sha256(msgspec.json.encode(sorted(parts.items()))).hexdigest()


class ReferenceCache:
    """Scores by window; appended to one file as they come, so that a run that ends early leaves what it computed.

    Args:
        file: JSON lines; None keeps the scores in memory only.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._found: dict[int, WindowReference] = {}
        self.read_from_disk = 0
        if file is not None:
            self._read(file)
            self.read_from_disk = len(self._found)

    def _read(self, file: Path) -> None:
        try:
            lines = file.read_bytes().splitlines()
            os.utime(file)
        except OSError:
            return
        for line in lines:
            found = _checked(line)
            if found is not None:  # what is damaged is computed again
                self._found[found.window] = found

    def get(self, window: int, cuts: tuple[int, ...]) -> WindowReference | None:
        """The scores of ``window`` if they were made in packs of these sizes."""
        found = self._found.get(window)
        return found if found is not None and found.cuts == cuts else None

    def put(self, scores: WindowReference) -> None:
        """Remember ``scores``; a disk that is full or read-only costs later runs time, never this one."""
        self._found[scores.window] = scores
        if self._file is None:
            return
        try:
            make_private(self._file.parent)
            new = not self._file.exists()
            # A leading line break ends a line that a crash left torn; empty lines are skipped on reading.
            with self._file.open("ab") as file:
                body = msgspec.json.encode(scores)
                file.write(b"\n%08x %b\n" % (zlib.crc32(body), body))
            if new:
                keep_newest(self._file.parent, "*.jsonl", KEPT_FILES)
        except OSError:
            self._file = None
