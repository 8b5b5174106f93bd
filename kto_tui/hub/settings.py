"""The hub's own settings as far as the terminal must know them, read from the environment at each call."""

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from kto_tui.hub.request import RepoType
from kto_tui.paths import hub_home

TRUE = {"1", "on", "yes", "true"}


def endpoint() -> str:
    """Address of the hub or of the mirror that ``HF_ENDPOINT`` names, without a closing slash."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def page(repo_id: str, repo_type: RepoType = "model") -> str:
    """Address of a repository as a browser shows it."""
    return f"{endpoint()}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}"


def is_address(text: str) -> bool:
    """Whether a hub could answer there."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    return False


def offline() -> bool:
    """Whether the environment forbids asking the hub."""
    return (os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "").lower() in TRUE


def token_known() -> bool:
    """Whether a token would be sent: from ``HF_TOKEN`` or the file that ``hf auth login`` writes. It is not kept."""
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in TRUE:
        return False
    if (os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or "").strip():
        return True
    file = os.environ.get("HF_TOKEN_PATH")
    with contextlib.suppress(OSError):
        path = Path(os.path.expandvars(file)).expanduser() if file else hub_home() / "token"
        return bool(path.read_bytes().strip())
    return False
