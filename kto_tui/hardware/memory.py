"""Host memory and swap: /proc/meminfo reduced to the cgroup's limits; sysctl and vm_stat on macOS."""

import re

from kto_tui.hardware.cgroup import memory_limit, swap_limit
from kto_tui.hardware.model import Memory
from kto_tui.hardware.sources import Sources
from kto_tui.units import MIB


def _smaller(known: int | None, limit: int | None) -> int | None:
    """``known``, at most ``limit``; unknown stays unknown."""
    return known if known is None or limit is None else min(known, limit)


def _linux(sources: Sources) -> Memory:
    """Linux kernel, Documentation/filesystems/proc, meminfo: what it calls kB are 1024 bytes."""
    rows = re.findall(r"^(\w+):\s+(\d+) kB", sources.text("proc/meminfo") or "", re.MULTILINE)
    table = {name: int(number) * 1024 for name, number in rows}
    total = table.get("MemTotal")
    limit, left = memory_limit(sources)
    limited = limit is not None and (total is None or limit < total)
    swap = swap_limit(sources)
    return Memory(
        total_bytes=limit if limited else total,
        available_bytes=_smaller(table.get("MemAvailable"), left if limited else None),
        limited_by_cgroup=limited,
        swap_total_bytes=_smaller(table.get("SwapTotal"), swap),
        swap_free_bytes=_smaller(table.get("SwapFree"), swap),
    )


def _pages(report: str) -> int | None:
    """Bytes that vm_stat(1) counts as free, speculative or inactive: what a new program can have."""
    size = re.search(r"page size of (\d+) bytes", report)
    counts = re.findall(r"^Pages (?:free|speculative|inactive):\s+(\d+)\.", report, re.MULTILINE)
    return int(size[1]) * sum(map(int, counts)) if size and len(counts) == 3 else None


def _macos(sources: Sources) -> Memory:
    """sysctl(3) hw.memsize and vm.swapusage (``total = 2048.00M  used = ...``)."""
    swap = dict(re.findall(r"(\w+) = ([\d.]+)M", sources.sysctl.get("vm.swapusage", "")))
    total, free = (round(float(swap[name]) * MIB) if name in swap else None for name in ("total", "free"))
    return Memory(
        total_bytes=sources.sysctl_number("hw.memsize"),
        available_bytes=_pages(sources.run(["vm_stat"]) or ""),
        swap_total_bytes=total,
        swap_free_bytes=free,
    )


def detect_memory(sources: Sources) -> Memory:
    """Host memory, never more than the cgroup (container) allows."""
    return _macos(sources) if sources.system == "Darwin" else _linux(sources)
