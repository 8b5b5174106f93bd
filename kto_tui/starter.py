"""The embedded default: which model and data the starter run uses, and where the model is stored."""

import contextlib
import hashlib
from pathlib import Path

import msgspec

from kto_tui.paths import models_home

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PRESET = "starter"


class ModelSource(msgspec.Struct, frozen=True):
    """Where a stored checkpoint came from, and the SHA-256 of each of its files."""

    origin: str = msgspec.field(name="from")
    model: str
    stored: int
    files: dict[str, str]


def starter_model_folder() -> Path:
    """Where the starter model is stored, whether it is there or not."""
    return models_home() / "SmolLM2-135M-Instruct"


def source_of(folder: Path) -> ModelSource | None:
    """The source record of a stored checkpoint; None when there is none or it cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / "source.json").read_bytes(), type=ModelSource)
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(folder: Path) -> bool:
    """Whether every file of a stored checkpoint is there and has the SHA-256 it was written with."""
    source = source_of(folder)
    return source is not None and all(
        (folder / name).is_file() and sha256(folder / name) == digest for name, digest in source.files.items()
    )
