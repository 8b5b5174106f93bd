"""The embedded default: which model and data the starter run uses, and where the model is stored."""

import contextlib
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
