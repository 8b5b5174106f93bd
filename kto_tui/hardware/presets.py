"""Machines one plans for without sitting at them: ``presets/hardware/NAME.toml``."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from kto_tui import paths
from kto_tui.errors import UserError
from kto_tui.hardware.detect import detect
from kto_tui.hardware.model import Cpu, Gpu, Hardware, Kind, Memory
from kto_tui.units import GIB

Gib = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
Cores = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    total_gib: Gib
    free_gib: Gib

    def __post_init__(self) -> None:
        if self.free_gib > self.total_gib:
            raise ValueError("free_gib is more than total_gib")


class _Gpu(_Memory, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Text
    kind: Kind
    capability: tuple[Cores, Annotated[int, msgspec.Meta(ge=0)]] | None = None
    power_limit_watts: Annotated[float, msgspec.Meta(gt=0)] | None = None
    cores: Cores | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "cuda" and self.capability is None:
            raise ValueError("capability is missing")


class _Cpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: Text | None = None
    physical_cores: Cores | None = None
    logical_cores: Cores | None = None
    usable_cores: Cores | None = None
    performance_cores: Cores | None = None
    bf16: bool | None = None
    avx512: bool | None = None
    amx: bool | None = None


class HardwarePreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of ``presets/hardware``; ``assumes`` says in words what its figures take for granted."""

    title: Text
    assumes: Text
    system: Text = "Linux"
    cpu: _Cpu = _Cpu()
    memory: _Memory | None = None
    gpu: tuple[_Gpu, ...] = ()


def _bytes(gib: float) -> int:
    return round(gib * GIB)


def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted((paths.presets() / "hardware").glob("*.toml"))}


def _read(path: Path) -> HardwarePreset:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), HardwarePreset)
    except (OSError, ValueError) as error:  # broken TOML, wrong encoding and msgspec's ValidationError are ValueErrors
        what = f"The hardware preset is broken ({str(error).rstrip('.')})"
        raise UserError(what, mend="Mend that key or reinstall", where=str(path)) from None


def hardware_presets() -> dict[str, HardwarePreset]:
    """The machines one can plan for, by name."""
    return {name: _read(path) for name, path in _files().items()}


def load_hardware(name: str) -> Hardware:
    """The machine a preset describes, in whatever case it is named; what it does not say is unknown.

    Raises:
        UserError: there is no such preset (with the nearest names), or its file is broken (with the key).
    """
    files, name = _files(), name.lower()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=2, cutoff=0.4)
        mend = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UserError(f"No machine is called {name!r}", mend=f"{mend}List them with: kto-tui hardware --list")
    preset = _read(files[name])
    memory = preset.memory
    rest = "processor, RAM and disk are" if memory is None else "the disk is"
    return Hardware(
        host=preset.title,
        system=preset.system,
        cpu=Cpu(
            preset.cpu.model,
            preset.cpu.physical_cores,
            preset.cpu.logical_cores,
            preset.cpu.usable_cores,
            preset.cpu.bf16,
            avx512=preset.cpu.avx512,
            amx=preset.cpu.amx,
            performance_cores=preset.cpu.performance_cores,
        ),
        memory=Memory(*((None, None) if memory is None else (_bytes(memory.total_gib), _bytes(memory.free_gib)))),
        gpus=tuple(
            Gpu(
                index=index,
                name=gpu.name,
                kind=gpu.kind,
                total_bytes=_bytes(gpu.total_gib),
                free_bytes=_bytes(gpu.free_gib),
                capability=gpu.capability,
                power_limit_watts=gpu.power_limit_watts,
                unified=gpu.kind == "apple",
                cores=gpu.cores,
            )
            for index, gpu in enumerate(preset.gpu)
        ),
        disk_free_bytes=None,
        over_ssh=False,
        notes=(f"Planned, not measured. Assumed: {preset.assumes}; {rest} unknown",),
        planned_as=name,
    )


def machine(name: str | None) -> Hardware:
    """The machine to plan for: a preset by name, else this one as it is now."""
    return detect() if name is None else load_hardware(name)
