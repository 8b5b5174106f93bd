"""What macOS says of an Apple GPU at work to any user, root or not: answers of commands turned into figures.

powermetrics(1) says more and needs root, so it is not asked.
"""

import re
from typing import NamedTuple

# -w 0: lines are otherwise cut at the width of the terminal (ioreg(8)).
GPU_STATISTICS = ("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
THERMAL_PRESSURE_KEY = "com.apple.system.thermalpressurelevel"
THERMAL_PRESSURE = ("notifyutil", "-g", THERMAL_PRESSURE_KEY)
# OSThermalPressureLevel on macOS, in its order from 0 (Apple's libkern/OSThermalNotification.h).
THERMAL_LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
# Far beyond any machine: what is more was not a size.
MOST_BYTES = 1 << 50


class GpuStatistics(NamedTuple):
    """An accelerator's counters, over all programs.

    Attributes:
        percent: of the time it was busy.
        used_bytes: of unified memory it has in use.
    """

    percent: float | None
    used_bytes: int | None


def gpu_statistics(answer: str) -> GpuStatistics:
    """The GPU's ``PerformanceStatistics`` in an answer of ``GPU_STATISTICS``.

    The driver publishes them in the I/O registry for every user (ioreg(8); IOKit's IORegistryEntry); Apple does not
    document the single keys, so each may be missing. On one line: ``"PerformanceStatistics" = {"Device Utilization
    %"=16,"In use system memory"=2363801600,...}``; the key with ``(driver)`` behind it counts something else.
    """
    for found in re.finditer(r'"PerformanceStatistics" ?= ?\{([^{}]*)\}', answer):
        counters = {name: int(number) for name, number in re.findall(r'"([^"]+)" ?= ?([0-9]{1,19})\b', found[1])}
        percent, used = counters.get("Device Utilization %"), counters.get("In use system memory")
        if percent is not None or used is not None:
            return GpuStatistics(
                float(percent) if percent is not None and percent <= 100 else None,
                used if used is not None and 0 < used <= MOST_BYTES else None,
            )
    return GpuStatistics(None, None)


def thermal_pressure(answer: str) -> str | None:
    """The word for the thermal pressure in an answer of ``THERMAL_PRESSURE``: the key, then the level.

    notifyutil(1) ``-g`` gets a key's state. thermald keeps the level under this key, the one that powermetrics(1)
    prints as "Current pressure level"; above nominal the chip is slowed down. ``pmset -g therm`` stays silent then.
    """
    found = re.search(rf"^{re.escape(THERMAL_PRESSURE_KEY)}[ \t]+([0-9]{{1,3}})$", answer.strip(), re.MULTILINE)
    if found is None:
        return None
    level = int(found[1])
    return THERMAL_LEVELS[level] if level < len(THERMAL_LEVELS) else None
