"""Processor and host memory, from /proc, sysctl and psutil."""

import os
import platform
import subprocess
from pathlib import Path

import psutil

from kto_tui.hardware.model import Cpu, Memory

# Linux kernel, Documentation/arch/x86/cpuinfo: flag names as printed in /proc/cpuinfo.
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_V2_USED = Path("/sys/fs/cgroup/memory.current")
CGROUP_V1_LIMIT = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
CGROUP_V1_USED = Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")


def sysctl(name: str) -> str | None:
    """One value of macOS ``sysctl -n``; None when it is missing or this is not macOS."""
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def parse_cpuinfo(text: str) -> tuple[str | None, bool | None]:
    """Model name and bf16 support from the text of /proc/cpuinfo (x86 ``flags``, ARM ``Features``)."""
    model: str | None = None
    bf16: bool | None = None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        key = key.strip().lower()
        if key == "model name" and model is None:
            model = value.strip() or None
        elif key in {"flags", "features"} and bf16 is None:
            bf16 = not BF16_FLAGS.isdisjoint(value.split())
    return model, bf16


def detect_cpu() -> Cpu:
    """The processor of this machine."""
    model: str | None = None
    bf16: bool | None = None
    if platform.system() == "Darwin":
        model = sysctl("machdep.cpu.brand_string")
        flag = sysctl("hw.optional.arm.FEAT_BF16")
        bf16 = None if flag is None else flag == "1"
    else:
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        model, bf16 = parse_cpuinfo(text)
    if hasattr(os, "sched_getaffinity"):
        usable: int | None = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count()
    return Cpu(
        model=model or platform.processor() or None,
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(logical=True),
        usable_cores=usable,
        bf16=bf16,
    )


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
        return None if text == "max" else int(text)
    except (OSError, ValueError):
        return None


def _file_cache(path: Path) -> int:
    """Reclaimable file cache in a cgroup's memory.stat (v1 prints the sum over children as ``total_...``)."""
    try:
        rows = dict(line.split(maxsplit=1) for line in path.read_text(encoding="ascii").splitlines())
        return int(rows.get("total_inactive_file") or rows.get("inactive_file") or 0)
    except (OSError, ValueError):
        return 0


def detect_memory() -> Memory:
    """Host memory, never more than the cgroup (container) allows."""
    host = psutil.virtual_memory()
    total, available, limited = int(host.total), int(host.available), False
    for limit_file, used_file in ((CGROUP_V2_LIMIT, CGROUP_V2_USED), (CGROUP_V1_LIMIT, CGROUP_V1_USED)):
        limit, used = _read_number(limit_file), _read_number(used_file)
        if limit is not None and limit < total:
            total, limited = limit, True
            # The counter includes file cache (a fresh download, say) that the kernel gives back on demand.
            held = max(0, (used or 0) - _file_cache(used_file.with_name("memory.stat")))
            available = min(available, max(0, limit - held))
    return Memory(total_bytes=total, available_bytes=available, limited_by_cgroup=limited)
