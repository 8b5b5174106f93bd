"""A run's adapter and its base model as one folder: what can be checked before, and the program that writes it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from kto_tui import units
from kto_tui.errors import UserError
from kto_tui.program import Program
from kto_tui.runs.folder import RunFolder

ADAPTER_CONFIG = "adapter_config.json"


class Wrote(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="wrote"):
    """Bytes of weights so far, of all."""

    bytes_done: int
    bytes_total: int


class Fused(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="fused"):
    """The folder is there. ``notes``: what a person should know of it, sentences without full stops."""

    path: str
    size_bytes: int
    notes: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """Nothing was written; fields of a ``UserError``. ``crash``: a sentence in its stead for what nobody foresaw."""

    what: str = ""
    mend: str = ""
    where: str | None = None
    crash: str = ""


Update = Wrote | Fused | Failed


class Fusion(Program[Update]):
    """Fuses ``run`` into ``folder`` as hf, or says why not gguf; what it says ends with ``Fused`` or ``Failed``."""

    def __init__(self, run: RunFolder, folder: Path, written_as: str) -> None:
        target = os.path.abspath(os.path.expanduser(folder))  # noqa: PTH100, PTH111 - pathlib raises on ~nobody
        super().__init__("kto_tui.backends.fuse", ["--format", written_as, "--", str(run.path), target], Update)


def adapter_config(run: RunFolder) -> dict[str, Any]:
    """``adapter_config.json`` of the run's adapter, as PEFT reads it.

    Raises:
        UserError: the run has saved no adapter, or only one for mlx-lm.
    """
    file = run.adapter / ADAPTER_CONFIG
    if not run.adapter.is_dir():
        mend = f"Let it finish, or save what it has learnt with: kto-tui stop {run.id}"
        raise UserError("This run has saved no adapter", mend=mend, where=run.id)
    if not file.exists() and (run.adapter / "mlx").is_dir():
        raise UserError(
            "This adapter is saved for mlx-lm alone, which calls the model's layers otherwise than Transformers",
            mend=f"Use it with mlx-lm, as {run.adapter / 'README.md'} says",
            where=run.id,
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The adapter's settings cannot be read ({error})", mend="Train it again", where=str(file)
        ) from None
    if not isinstance(found, dict):
        raise UserError("The adapter's settings are no table", mend="Train it again", where=str(file))
    return found


def check_target(folder: Path) -> None:
    """Refuse a folder that something is in already, or that has no place.

    Raises:
        UserError: one of these.
    """
    try:
        taken = any(folder.iterdir()) if folder.is_dir() else folder.exists() or folder.is_symlink()
        parent_there = folder.parent.is_dir()
    except OSError as error:
        what = f"The folder cannot be looked into ({error.strerror or error})"
        raise UserError(what, mend="Choose another folder", where=str(folder)) from None
    if taken:
        raise UserError("Something is there already", mend="Name a folder that is new or empty", where=str(folder))
    if not parent_there:
        raise UserError("There is no folder to put it into", mend="Make it first", where=str(folder.parent))


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse a disk that has not that much room.

    Raises:
        UserError: it has not.
    """
    free = shutil.disk_usage(folder.parent).free
    if free < needed_bytes:
        what = f"The fused model takes {units.size(needed_bytes)} and {units.size(free)} of disk are free"
        raise UserError(what, mend="Free the disk or choose a folder on another one", where=str(folder))
