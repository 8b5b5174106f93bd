"""AMD GPUs that ROCm can use, from what their kernel driver says in /sys.

Linux kernel, Documentation/gpu/amdgpu/driver-misc (mem_info_vram_*, unique_id, product_name) and thermal (hwmon,
gpu_busy_percent); AMD, KFD topology (/sys/class/kfd); AMD, ROCm documentation, GPU isolation techniques.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from kto_tui.hardware.model import Gpu
from kto_tui.hardware.sources import Sources
from kto_tui.hardware.visible import Named, visible
from kto_tui.units import GIB, size

AMD_VENDOR = "0x1002"
# Below this it is a processor's graphics with a slice of host memory: nothing here trains in it.
LEAST_BYTES = 2 * GIB


def _names(folder: Path, pattern: str) -> list[Path]:
    """Matching entries in the order of their numbers."""
    try:
        return sorted(folder.glob(pattern), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))
    except OSError:
        return []


def _architectures(sources: Sources) -> dict[str, str]:
    """``gfx1100`` by render node (``renderD128``) of each GPU the compute driver offers."""
    found = {}
    for node in _names(sources.root / "sys/class/kfd/kfd/topology/nodes", "[0-9]*"):
        rows = dict(line.partition(" ")[::2] for line in (sources.text(node / "properties") or "").splitlines())
        minor, version = rows.get("drm_render_minor", "0"), rows.get("gfx_target_version", "0")
        if minor.isdigit() and int(minor) and version.isdigit() and int(version):
            number = int(version)  # 90010 is 9.0.10, written gfx90a
            found[f"renderD{minor}"] = f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"
    return found


def _describe(sources: Sources, card: Path, index: int, architecture: str) -> Gpu:
    def scaled(pattern: str, scale: int) -> float | None:
        values = (sources.number(path) for path in _names(card, pattern))
        return next((value / scale for value in values if value is not None), None)

    total, used = (sources.number(card / f"mem_info_vram_{what}") for what in ("total", "used"))
    celsius, unique = scaled("hwmon/hwmon*/temp1_input", 1000), sources.text(card / "unique_id")
    watts = scaled("hwmon/hwmon*/power1_average", 1_000_000)
    return Gpu(
        index=index,
        name=sources.text(card / "product_name") or f"AMD GPU {architecture}",
        kind="rocm",
        total_bytes=total,
        free_bytes=None if total is None or used is None else max(0, total - used),
        driver=sources.text("sys/module/amdgpu/version"),
        temperature_celsius=None if celsius is None else round(celsius),
        uuid=f"GPU-{unique}" if unique else None,
        architecture=architecture,
        power_watts=scaled("hwmon/hwmon*/power1_input", 1_000_000) if watts is None else watts,
        power_limit_watts=scaled("hwmon/hwmon*/power1_cap", 1_000_000),
        utilization_percent=sources.number(card / "gpu_busy_percent"),
    )


def _cards(sources: Sources) -> Iterator[Path]:
    for card in _names(sources.root / "sys/class/drm", "card[0-9]*"):
        if card.name[4:].isdigit() and sources.text(card / "device/vendor") == AMD_VENDOR:
            yield card / "device"


def detect_amd(sources: Sources) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """The AMD GPUs a ROCm program started now would see, and notes on those that do not count."""
    gpus: list[Gpu] = []
    notes: list[str] = []
    architectures = _architectures(sources)
    for card in _cards(sources):
        nodes = [path.name for path in _names(card / "drm", "renderD[0-9]*")]
        architecture = next((architectures[node] for node in nodes if node in architectures), None)
        if architecture is None:
            notes.append("An AMD GPU is there but not offered for compute (/sys/class/kfd): see ROCm's supported GPUs")
            continue
        gpu = _describe(sources, card, len(gpus), architecture)
        if gpu.total_bytes is not None and gpu.total_bytes < LEAST_BYTES:
            notes.append(f"{gpu.name} has {size(gpu.total_bytes)} of its own: too small to train in, not counted")
            continue
        gpus.append(gpu)
    if gpus:
        notes.append("AMD: training needs the ROCm build of PyTorch; kto-tui has not been tried on one")
    shown = tuple(gpus)
    for variable in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        if (asked := sources.env.get(variable)) is not None:
            left = visible(asked, [[Named(gpu, (gpu.uuid,) if gpu.uuid else ())] for gpu in shown])
            if hidden := [f"GPU {gpu.index} {gpu.name}" for gpu in shown if gpu not in left]:
                notes.append(f"{variable}={asked} hides {', '.join(hidden)}")
            shown = left
    return shown, tuple(notes)
