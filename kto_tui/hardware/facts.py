"""Facts about a machine as lines for people."""

import re

from kto_tui import units
from kto_tui.hardware.model import Cpu, Gpu, Hardware

FEATURES = {"bf16": "bf16", "avx512": "AVX-512", "amx": "AMX", "neon": "NEON"}
DETAILED_GPUS = 2


def _cpu(cpu: Cpu) -> str:
    # "Intel(R) Core(TM) i5-7200U CPU @ 2.50GHz" is an i5-7200U
    facts = [re.sub(r"\((R|TM)\)| CPU| @.*", "", cpu.model) if cpu.model else units.UNKNOWN]
    if cpu.physical_cores is not None:
        fast = f" ({cpu.performance_cores} performance)" if cpu.performance_cores else ""
        facts.append(f"{cpu.physical_cores} cores{fast}")
    limit = " (container limit)" if cpu.quota_cores is not None else ""
    facts.append(f"{units.count(cpu.usable_cores)} of {units.count(cpu.logical_cores)} threads usable{limit}")
    return " · ".join([*facts, *(word for name, word in FEATURES.items() if getattr(cpu, name))])


def _room(total: int | None, free: int | None) -> str:
    return f"{units.size(total)}, {units.size(free)} free"


def _held(gpu: Gpu) -> str:
    """The two programs that hold most of a GPU, in brackets."""
    held = [f"{one.name or 'a program'} {units.size(one.used_bytes)}" for one in gpu.others or ()]
    return f" ({', '.join(held[:2])}{' ...' if len(held) > 2 else ''})" if held else ""


def _gpu(gpu: Gpu) -> list[str]:
    """Name and state, then memory and driver."""
    first, second = [gpu.name], [f"{_room(gpu.total_bytes, gpu.free_bytes)}{_held(gpu)}"]
    if gpu.capability is not None:
        first.append(f"compute {gpu.capability[0]}.{gpu.capability[1]}")
    if gpu.cores is not None:
        first.append(f"{gpu.cores} GPU cores")
    if gpu.temperature_celsius is not None:
        first.append(f"{gpu.temperature_celsius} °C")
    if gpu.utilization_percent is not None:
        first.append(f"{gpu.utilization_percent} % busy")
    if gpu.power_limit_watts is not None:
        draw = "" if gpu.power_watts is None else f"{gpu.power_watts:.0f} of "
        first.append(f"{draw}{gpu.power_limit_watts:.0f} W")
    if gpu.unified:
        limit = gpu.working_set_bytes
        second.append("shared with the host")
        second.append(f"Metal's limit {units.UNKNOWN if limit is None else units.size(limit)}")
    second += [f"{word} {value}" for word, value in (("driver", gpu.driver), ("CUDA", gpu.cuda)) if value]
    return [" · ".join(first), " · ".join(second)]


def _disk(runs: int | None, models: int | None) -> str:
    if units.size(runs) == units.size(models):
        return f"{units.size(runs)} free for runs and models"
    return f"{units.size(runs)} free for runs, {units.size(models)} for models"


def hardware_rows(hardware: Hardware) -> list[tuple[str, str]]:
    """(name, fact) lines: system, processor, memory, accelerators, disk. A plan leaves out what it does not say."""
    memory, planned = hardware.memory, hardware.planned_as is not None
    system = [hardware.system, hardware.container, hardware.wsl and f"WSL {hardware.wsl}", hardware.multiplexer]
    rows = [("System", " · ".join(part for part in system if part))]
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
        name, *details = _gpu(gpu)
        if len(hardware.gpus) > DETAILED_GPUS:
            name, details = f"{gpu.name} · {_room(gpu.total_bytes, gpu.free_bytes)}{_held(gpu)}", []
        rows += [(f"GPU {gpu.index}", name), *(("", detail) for detail in details)]
    if not hardware.gpus:
        rows.append(("GPU", "none found" if not planned else "none"))
    if not planned:
        rows.append(("Disk", _disk(hardware.disk_free_bytes, hardware.models_disk_free_bytes)))
    return rows
