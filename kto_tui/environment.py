"""Which optional packages are installed here, asked without importing any of them."""

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec

from kto_tui.errors import UserError

TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes")
INSTALL = "python -m pip install 'kto-tui[train]'"
PLANNED = "Unsloth (NVIDIA) and MLX (Apple Silicon) are planned and not there yet"


class Finding(msgspec.Struct, frozen=True):
    """One thing ``doctor`` looked at. ``mend``: the command that mends it, None when all is well."""

    what: str
    state: str
    mend: str | None = None


def installed(package: str) -> str | None:
    """Version of an installed distribution, None when it is missing or cannot be imported."""
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def missing_training_packages() -> list[str]:
    """Training packages that are not installed."""
    return [name for name in TRAINING_PACKAGES if installed(name) is None]


def require_training() -> None:
    """Raise a UserError when training packages are missing."""
    if missing := missing_training_packages():
        raise UserError(f"Training needs {', '.join(missing)}", mend=f"Install with: {INSTALL}")


def backends(device: str) -> list[tuple[str, str]]:
    """(name, readiness in words) of what trains there today, the one it would use first.

    Args:
        device: torch's device type, or ``rocm`` for an AMD GPU.
    """
    ready = "READY" if not missing_training_packages() else "NOT INSTALLED"
    names = {
        "cuda": "NVIDIA · TRL + bitsandbytes",
        "mps": "Apple · TRL on MPS",
        "cpu": "CPU · TRL",
        "rocm": "AMD · TRL on ROCm",
    }
    rows = [(names[device], ready)]
    if device != "cpu":
        rows.append((names["cpu"], ready))
    return rows


def kills_user_processes() -> bool | None:
    """Whether systemd-logind ends detached processes at logout; None without systemd.

    Source: logind.conf(5), KillUserProcesses, and the order in which systemd reads its drop-in files.
    """
    if not Path("/run/systemd/system").is_dir():
        return None
    answer = False
    folders = ("/usr/lib/systemd", "/etc/systemd", "/run/systemd")
    files = [Path(folder) / "logind.conf" for folder in folders]
    for folder in folders:
        files += sorted((Path(folder) / "logind.conf.d").glob("*.conf"))
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "KillUserProcesses":
                answer = value.strip().lower() in {"yes", "true", "1", "on"}
    return answer


def examine() -> list[Finding]:
    """What ``kto-tui doctor`` reports about the Python environment and the terminal."""
    found = [Finding("Python", platform.python_version())]
    for name in TRAINING_PACKAGES:
        version = installed(name)
        found.append(Finding(name, version or "missing", None if version else INSTALL))
    kills = kills_user_processes()
    if kills:
        user = os.environ.get("USER", "$USER")
        found.append(
            Finding(
                "logout",
                "systemd ends detached processes at logout (KillUserProcesses=yes)",
                f"loginctl enable-linger {user}, then start with: systemd-run --user --scope kto-tui",
            )
        )
    else:
        found.append(Finding("logout", "detached runs survive it" if kills is False else "no systemd here"))
    return found
