"""What MLX needs of a machine and of what is installed there, judged from facts that are handed in."""

import re
from collections.abc import Mapping

import msgspec

from kto_tui.errors import UserError

PACKAGES = ("mlx", "mlx-lm", "transformers", "safetensors", "huggingface-hub")
INSTALL = "python -m pip install 'kto-tui[mlx]'"
# The extra's MLX is for Macs only, see pyproject.toml; elsewhere its processor build is asked for by name.
INSTALL_LINUX = f"{INSTALL} 'mlx-lm[cpu]'"
# Source: the tags of mlx 0.32's wheels (manylinux_2_35, macosx_14_0_arm64), and MLX's page "Build and Install".
GLIBC, MACOS = (2, 35), (14,)
INSTEAD = 'Train with TRL: backend = "hf"'


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as MLX sees it.

    Attributes:
        system: as ``platform.system`` says, ``Darwin`` or ``Linux``.
        machine: the architecture that this Python was built for.
        translated: whether Rosetta runs an Intel program here (``sysctl.proc_translated``).
        macos: its version, ``14.5``; None elsewhere or unknown.
        glibc: its version, ``2.36``; None elsewhere or unknown.
        versions: of ``PACKAGES``, None of what is missing.
        minimum: oldest version that this program was made for, of some packages.
    """

    system: str
    machine: str
    translated: bool = False
    macos: str | None = None
    glibc: str | None = None
    versions: Mapping[str, str | None]
    minimum: Mapping[str, str] = {}

    @property
    def apple_silicon(self) -> bool:
        """Whether this is a Mac with a chip that MLX is made for, whatever this Python was built for."""
        return self.system == "Darwin" and (self.machine == "arm64" or self.translated)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``0.32.4.dev1`` is (0, 32, 4)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def machine_refusal(facts: Facts) -> UserError | None:
    """Why MLX cannot be installed on this machine, or with this Python; None where it can."""
    if facts.system == "Darwin" and facts.machine != "arm64":
        if facts.translated:
            what = "This Python was built for Intel Macs and runs under Rosetta, where MLX cannot be installed"
            return UserError(what, mend="Make the environment anew with a Python built for arm64", where="MLX")
        return UserError("There are no wheels of MLX for Intel Macs", mend=f"{INSTEAD}, on the processor", where="MLX")
    if facts.macos is not None and numbers(facts.macos) < MACOS:
        what = f"MLX needs macOS {MACOS[0]} or newer, this is {facts.macos}"
        return UserError(what, mend=f"Update macOS, or train with TRL: {INSTEAD.partition(': ')[2]}", where="MLX")
    if facts.glibc is not None and numbers(facts.glibc) < GLIBC:
        what = f"MLX needs glibc {'.'.join(map(str, GLIBC))} or newer, this Linux has {facts.glibc}"
        return UserError(what, mend=INSTEAD, where="MLX")
    return None


def package_refusal(facts: Facts) -> UserError | None:
    """Which packages are missing or too old; None where all are there."""
    install = INSTALL if facts.system == "Darwin" else INSTALL_LINUX
    if missing := [name for name in PACKAGES if facts.versions.get(name) is None]:
        return UserError(f"Training with MLX needs {', '.join(missing)}", mend=f"Install with: {install}")
    for name in PACKAGES:
        found, oldest = facts.versions.get(name), facts.minimum.get(name)
        if found and oldest and numbers(found) < numbers(oldest):
            what = f"{name} {found} is too old, training with MLX needs {oldest} or newer"
            return UserError(what, mend=f"Install with: {install.replace('install', 'install --upgrade', 1)}")
    return None


def refusal(facts: Facts) -> UserError | None:
    """Why nothing can be trained with MLX here; None where it can."""
    return machine_refusal(facts) or package_refusal(facts)


def oldest_allowed(requirements: list[str]) -> dict[str, str]:
    """Each requirement's lower bound: ``mlx>=0.32.4,<0.33; ...`` gives 0.32.4 for mlx."""
    found = (re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*\(?[^;]*>=\s*([\d.]+)", one) for one in requirements)
    return {one[1].lower().replace("_", "-"): one[2] for one in found if one}
