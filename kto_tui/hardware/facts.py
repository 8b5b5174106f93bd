"""Facts about a machine as lines for people."""

import re

from kto_tui import units
from kto_tui.hardware.model import Cpu, Gpu, Hardware

FEATURES = {"bf16": "bf16", "avx512": "AVX-512", "amx": "AMX", "neon": "NEON"}
DETAILED_GPUS = 2


def _cpu(cpu: Cpu) -> str:
    # "Intel(R) Core(TM) i5-7200U CPU @ 2.50GHz" is an i5-7200U
    name = re.sub(r"\((R|TM)\)| CPU| @.*", "", cpu.model) if cpu.model else units.UNKNOWN
    fast = f" ({cpu.performance_cores} performance)" if cpu.performance_cores else ""
    limit = " (container limit)" if cpu.quota_cores is not None else ""
    usable, logical = units.count(cpu.usable_cores), units.count(cpu.logical_cores)
    threads = f"{usable if usable == logical else f'{usable} of {logical}'} threads{limit}"
    words = [word for feature, word in FEATURES.items() if getattr(cpu, feature)]
    return " · ".join([name, f"{units.count(cpu.physical_cores)} cores{fast}, {threads}", *words])


def _room(total: int | None, free: int | None) -> str:
    return f"{units.size(total)}, {units.size(free)} free"


def _held(gpu: Gpu) -> str:
    """The two programs that hold most of a GPU, in brackets."""
    held = [f"{one.name or 'a program'} {units.size(one.used_bytes)}" for one in gpu.others or ()]
    return f" ({', '.join(held[:2])}{' ...' if len(held) > 2 else ''})" if held else ""


def _name(gpu: Gpu) -> str:
    return gpu.name.removeprefix("NVIDIA ")


def _watts(gpu: Gpu) -> str | None:
    limit = None if gpu.power_limit_watts is None else f"{gpu.power_limit_watts:.0f} W"
    draw = None if gpu.power_watts is None else f"{gpu.power_watts:.0f}"
    return f"{draw} of {limit}" if draw and limit else limit or (draw and f"{draw} W")


def _metal_limit(gpu: Gpu) -> str:
    estimate = gpu.working_set_estimate_bytes
    return f"Metal limit {units.size(gpu.working_set_bytes) if estimate is None else f'about {units.size(estimate)}'}"


def _gpu(gpu: Gpu, *, planned: bool) -> list[str]:
    """Name and state, memory and driver, then the names of what the driver did not say."""
    capability = None if gpu.capability is None else "compute {}.{}".format(*gpu.capability)
    state = {
        "compute capability": gpu.architecture or capability,
        "temperature": None if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} °C",
        "load": None if gpu.utilization_percent is None else f"{gpu.utilization_percent} % busy",
        "power": _watts(gpu),
    }
    second = [f"{_room(gpu.total_bytes, gpu.free_bytes)}{_held(gpu)}"]
    if gpu.unified:
        state = {"GPU cores": None if gpu.cores is None else f"{gpu.cores} GPU cores"}
        second += ["shared with host", *([] if planned else [_metal_limit(gpu)])]
    versions = {"driver": gpu.driver} | ({"CUDA": gpu.cuda} if gpu.kind == "cuda" else {})
    second += [f"{word} {version}" for word, version in versions.items() if version]
    silent = [name for name, value in (state | ({} if gpu.unified else versions)).items() if value is None]
    lines = [" · ".join([_name(gpu), *(value for value in state.values() if value)]), " · ".join(second)]
    return lines if planned or not silent else [*lines, f"{units.UNKNOWN}: {', '.join(silent)}"]


def _disk(runs: int | None, models: int | None) -> str:
    if units.size(runs) == units.size(models):
        return f"{units.size(runs)} free for runs and models"
    return f"{units.size(runs)} free for runs, {units.size(models)} for models"


def hardware_rows(hardware: Hardware) -> list[tuple[str, str]]:
    """(name, fact) lines: system, processor, memory, accelerators, disk. A plan leaves out what it does not say."""
    memory, planned = hardware.memory, hardware.planned_as is not None
    system = [hardware.system, hardware.container, hardware.wsl and f"WSL {hardware.wsl}", hardware.multiplexer]
    rows = [] if planned else [("System", " · ".join(part for part in system if part))]
    if not planned or hardware.cpu.physical_cores is not None:
        rows.append(("CPU", _cpu(hardware.cpu)))
    if not planned or memory.total_bytes is not None:
        limit = " (container limit)" if memory.limited_by_cgroup else ""
        swap = (
            "no swap"
            if memory.swap_total_bytes == 0
            else f"swap {_room(memory.swap_total_bytes, memory.swap_free_bytes)}"
        )
        rows.append(
            ("RAM", f"{_room(memory.total_bytes, memory.available_bytes)}{limit}{'' if planned else f' · {swap}'}")
        )
    for gpu in hardware.gpus:
        name, *details = _gpu(gpu, planned=planned)
        if len(hardware.gpus) > DETAILED_GPUS:
            name, details = f"{_name(gpu)} · {_room(gpu.total_bytes, gpu.free_bytes)}{_held(gpu)}", []
        rows += [(f"GPU {gpu.index}", name), *(("", detail) for detail in details)]
    if not hardware.gpus:
        rows.append(("GPU", "none found" if not planned else "none"))
    if not planned:
        rows.append(("Disk", _disk(hardware.disk_free_bytes, hardware.models_disk_free_bytes)))
    return rows
