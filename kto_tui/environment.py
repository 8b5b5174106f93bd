"""Which optional packages are installed here, asked without importing any of them."""

import functools
import importlib.util
import os
import platform
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import msgspec

from kto_tui import mlx_needs
from kto_tui.errors import UserError

PACKAGES = {
    "hf": ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes"),
    "mlx": mlx_needs.PACKAGES,
}
# By the names of their packages.
TRACKERS = ("tensorboard", "trackio", "wandb")
INSTALL = "python -m pip install 'kto-tui[train]'"
# What anybody needs to download and to count tokens, without torch where nothing else asks for it.
INSTALL_HERE = mlx_needs.INSTALL if (platform.system(), platform.machine()) == ("Darwin", "arm64") else INSTALL
PLANNED = "Unsloth (NVIDIA) is planned and not there yet"


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


def versions(backend: str) -> dict[str, str]:
    """Of the packages that decide what a run of ``backend`` comes to, by name; those that are missing are left out."""
    names = ("kto-tui", *PACKAGES.get(backend, ()), "tokenizers")
    return {name: version for name in names if (version := installed(name)) is not None}


def missing_packages(backend: str) -> list[str]:
    """Packages that ``backend`` trains with and that are not installed."""
    return [name for name in PACKAGES[backend] if installed(name) is None]


def require_training(backend: str) -> None:
    """Raise a UserError when ``backend`` cannot train here: packages are missing or too old, or it has no machine."""
    if backend == "mlx":
        if (refusal := mlx_refusal()) is not None:
            raise refusal
    elif missing := missing_packages(backend):
        raise UserError(f"Training needs {', '.join(missing)}", mend=f"Install with: {INSTALL}")


def require_tracker(name: str) -> None:
    """Raise a UserError when the recipe's ``report_to`` names a tracker that is not installed.

    Args:
        name: one of ``TRACKERS``, or none.
    """
    if name != "none" and installed(name) is None:
        mend = f"Install it with: python -m pip install {name}, or set report_to to none"
        raise UserError(f"The tracker {name} is not installed", mend=mend, where="[recipe] report_to")


def mlx_facts() -> mlx_needs.Facts:
    """This machine as MLX sees it."""
    system, machine = platform.system(), platform.machine()
    translated = system == "Darwin" and machine != "arm64" and _sysctl("sysctl.proc_translated") == "1"
    return mlx_needs.Facts(
        system=system,
        machine=machine,
        translated=translated,
        macos=platform.mac_ver()[0] or None,
        glibc=_glibc() if system == "Linux" else None,
        versions={name: installed(name) for name in mlx_needs.PACKAGES},
        minimum=mlx_needs.oldest_allowed(metadata.requires("kto-tui") or []) if installed("kto-tui") else {},
    )


def _sysctl(name: str) -> str | None:
    """A value of sysctl(8); None where there is none.

    ``sysctl.proc_translated`` is 1 under Rosetta: Apple, "About the Rosetta translation environment".
    """
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _glibc() -> str | None:
    """The version of glibc; None with another C library. Source: confstr(3), ``_CS_GNU_LIBC_VERSION``."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return None
    return version if name == "glibc" and version else None


@functools.cache
def mlx_refusal() -> UserError | None:
    """Why nothing can be trained with MLX here; None where it can. Asked once per process."""
    return mlx_needs.refusal(mlx_facts())


def backends(device: str, *, planned: bool = False) -> list[tuple[str, str]]:
    """(name, readiness in words) of what trains there today, the one it would use first.

    Args:
        device: torch's device type, or ``rocm`` for an AMD GPU.
        planned: whether that is another machine, of which what is installed here says nothing.
    """
    ready = "READY" if not missing_packages("hf") else "NOT INSTALLED"
    names = {
        "cuda": "NVIDIA · TRL + bitsandbytes",
        "mps": "Apple · TRL on MPS",
        "cpu": "CPU · TRL",
        "rocm": "AMD · TRL on ROCm",
    }
    rows = [(names[device], ready)]
    if device == "mps":
        trouble = None if planned else mlx_refusal()
        rows.insert(0 if trouble is None else 1, ("Apple · MLX on Metal", "READY" if trouble is None else trouble.what))
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
    found = [Finding("Python", platform.python_version()), *_packages(mlx_facts(), installed)]
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


def _packages(mlx: mlx_needs.Facts, version_of: Callable[[str], str | None]) -> list[Finding]:
    """The packages of each backend that has a place on this machine, then whether MLX can train here."""
    on_mac = mlx.system == "Darwin"
    trouble = mlx_needs.refusal(mlx)
    wanted = on_mac or any(mlx.versions.get(name) for name in ("mlx", "mlx-lm"))
    found = []
    for name in PACKAGES["hf"]:
        version = version_of(name)
        if version is None and on_mac and trouble is None:
            found.append(Finding(name, "not installed; only TRL needs it"))
        else:
            found.append(Finding(name, version or "missing", None if version else INSTALL))
    if wanted:
        fits = mlx_needs.machine_refusal(mlx) is None
        for name in mlx_needs.PACKAGES:
            if name not in PACKAGES["hf"] and (fits or mlx.versions.get(name)):
                version = mlx.versions.get(name)
                install = mlx_needs.INSTALL if on_mac else mlx_needs.INSTALL_LINUX
                found.append(Finding(name, version or "missing", None if version else install))
        fine = Finding("MLX", "machine and packages suffice")
        found.append(fine if trouble is None else Finding("MLX", trouble.what, trouble.mend))
    return found
