"""What the process's control group leaves of the machine and has lost, versions 1 and 2.

Linux kernel, Documentation/admin-guide/cgroup-v2 and cgroup-v1/memory, scheduler/sched-bwc; proc(5), /proc/pid/cgroup.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kto_tui.hardware.sources import Sources

BASE = Path("sys/fs/cgroup")


def _folders(sources: Sources, controller: str) -> Iterator[Path]:
    """The process's own folder and every one above it, in each hierarchy that has the controller.

    In a container the path may be the host's while the mount shows only the container's part: folders that are not
    there hold no limit, and the last one, the mount itself, is then the container's.
    """
    for line in (sources.text("proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if number == "0" and not controllers:
            bases = [BASE, BASE / "unified"]
        elif controller in controllers.split(","):
            bases = [BASE / controller]
        else:
            continue
        path = PurePosixPath(name.strip())
        inside = PurePosixPath("/") if ".." in path.parts else path  # a group above the namespace's root
        for base in bases:
            for folder in (inside, *inside.parents):
                yield base / folder.relative_to("/")


def _file_cache(sources: Sources, folder: Path) -> int:
    """Reclaimable file cache in memory.stat (version 1 prints the sum over children as ``total_...``)."""
    rows = dict(line.partition(" ")[::2] for line in (sources.text(folder / "memory.stat") or "").splitlines())
    cached = rows.get("total_inactive_file") or rows.get("inactive_file") or ""
    return int(cached) if cached.isdigit() else 0


def memory_limit(sources: Sources) -> tuple[int | None, int | None]:
    """(limit, still available) in bytes: the smallest of each on the way up; None where nothing limits."""
    limits, available = [], []
    for folder in _folders(sources, "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = sources.number(folder / limit_name)  # "max" is no number
            if limit is None:
                continue
            # The counter includes file cache (a fresh download, say) that the kernel gives back on demand.
            held = (sources.number(folder / used_name) or 0) - _file_cache(sources, folder)
            limits.append(limit)
            available.append(max(0, limit - max(0, held)))
    return min(limits, default=None), min(available, default=None)


def oom_kills(sources: Sources) -> int | None:
    """How many processes of the group the kernel has killed for lack of memory; None where it does not count them.

    The nearest group that has the memory controller: what other groups of the host lost says nothing about this one.
    """
    for folder in _folders(sources, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            rows = dict(line.partition(" ")[::2] for line in (sources.text(folder / name) or "").splitlines())
            if (counted := rows.get("oom_kill", "")).isdigit():
                return int(counted)
    return None


def swap_limit(sources: Sources) -> int | None:
    """Swap in bytes the group may use; None where nothing limits it."""
    limits = []
    for folder in _folders(sources, "memory"):
        swap = sources.number(folder / "memory.swap.max")
        both, memory = (sources.number(folder / f"memory.{name}limit_in_bytes") for name in ("memsw.", ""))
        if swap is None and both is not None and memory is not None:
            swap = max(0, both - memory) if both < 1 << 62 else None  # version 1 writes "none" as a huge number
        if swap is not None:
            limits.append(swap)
    return min(limits, default=None)


def cpu_quota(sources: Sources) -> float | None:
    """CPU bandwidth in cores, the smallest on the way up; None where nothing limits it."""
    quotas = []
    for folder in _folders(sources, "cpu"):
        quota, _, period = (sources.text(folder / "cpu.max") or "").partition(" ")
        if not quota:
            quota, period = (sources.text(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):  # "max" and -1 are no limit
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)
