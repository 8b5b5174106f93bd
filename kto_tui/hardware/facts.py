"""Facts about a machine as lines for people."""

from kto_tui import units
from kto_tui.hardware import Hardware


def hardware_rows(hardware: Hardware) -> list[tuple[str, str]]:
    """(name, fact) lines: processor, memory, accelerators, disk."""
    cpu, memory = hardware.cpu, hardware.memory
    cores = f"{units.count(cpu.usable_cores)} of {units.count(cpu.logical_cores)} threads"
    limit = " (container limit)" if memory.limited_by_cgroup else ""
    rows = [
        ("CPU", f"{cpu.model or units.UNKNOWN} · {cores}{' · bf16' if cpu.bf16 else ''}"),
        ("RAM", f"{units.size(memory.total_bytes)}, {units.size(memory.available_bytes)} free{limit}"),
    ]
    for gpu in hardware.gpus:
        facts = [f"{units.size(gpu.total_bytes)}, {units.size(gpu.free_bytes)} free"]
        if gpu.capability is not None:
            facts.append(f"compute {gpu.capability[0]}.{gpu.capability[1]}")
        if gpu.driver:
            facts.append(f"driver {gpu.driver}")
        if gpu.temperature_celsius is not None:
            facts.append(f"{gpu.temperature_celsius} °C")
        rows += [(f"GPU {gpu.index}", gpu.name), ("", " · ".join(facts))]
    if not hardware.gpus:
        rows.append(("GPU", "none found"))
    rows.append(("Disk", f"{units.size(hardware.disk_free_bytes)} free where runs are kept"))
    return rows
