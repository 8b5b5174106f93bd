"""Every place kto-tui reads or writes outside a run, in one file."""

import os
import re
from pathlib import Path

import platformdirs


def data_home() -> Path:
    """Folder for runs and the starter model; ``KTO_TUI_HOME`` moves it."""
    override = os.environ.get("KTO_TUI_HOME")
    if override:
        return Path(override).expanduser().absolute()
    return platformdirs.user_data_path("kto-tui", appauthor=False)


def runs_home() -> Path:
    """Folder that holds one folder per run."""
    return data_home() / "runs"


def models_home() -> Path:
    """Folder for checkpoints kto-tui itself has made (the starter model)."""
    return data_home() / "models"


def cache_home() -> Path:
    """Folder for what can be computed again: prepared rows and reference scores."""
    if os.environ.get("KTO_TUI_HOME"):
        return data_home() / "cache"
    return platformdirs.user_cache_path("kto-tui", appauthor=False)


def make_private(folder: Path) -> None:
    """Create ``folder`` and what is missing of the folders above it, each for its owner alone.

    Raises:
        OSError: one cannot be made.
    """
    for path in reversed([folder, *folder.parents]):
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Delete all but the ``count`` files of ``folder`` that were used last.

    Raises:
        OSError: the folder or a file in it cannot be read or deleted.
    """
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[count:]:
        path.unlink(missing_ok=True)


def hub_home() -> Path:
    """Where huggingface_hub keeps what is its own, the token among it (same rules as its ``HF_HOME`` constant)."""
    if home := os.environ.get("HF_HOME"):
        return _expanded(home)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (_expanded(caches) if caches else Path.home() / ".cache") / "huggingface"


def hub_cache() -> Path:
    """Where huggingface_hub keeps downloads (same rules as its ``HF_HUB_CACHE`` constant)."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(cache) if cache else hub_home() / "hub"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def presets() -> Path:
    """The shipped presets: inside the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parent / "presets"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "presets"


def nearest_existing(path: Path) -> Path:
    """The closest ancestor of ``path`` (or itself) that exists: what a disk-space check can ask about."""
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate
    return Path("/")


def with_tilde(text: str) -> str:
    """``text`` with the person's home folder written ``~``, for what is shown to others."""
    home = str(Path.home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text
