"""The processor, from /proc on Linux and sysctl on macOS."""

import math

from kto_tui.hardware.cgroup import cpu_quota
from kto_tui.hardware.model import Cpu
from kto_tui.hardware.sources import Sources

# Linux kernel, Documentation/arch/x86/cpuinfo and arm64/elf_hwcaps: names as printed in /proc/cpuinfo.
FEATURES = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "avx512": frozenset({"avx512f"}),
    "amx": frozenset({"amx_tile"}),
    "neon": frozenset({"neon", "asimd"}),
}


def _features(text: str) -> dict[str, bool | None]:
    """Each feature from the first line of x86 ``flags`` or ARM ``Features``; all None without one."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"flags", "features"}:
            have = value.split()
            return {name: not flags.isdisjoint(have) for name, flags in FEATURES.items()}
    return dict.fromkeys(FEATURES)


def _cores(sources: Sources, rows: list[tuple[str, str]], logical: int) -> int | None:
    """Distinct (package, core) pairs of /proc/cpuinfo; ARM prints none, so there the siblings of each CPU in /sys."""
    package, pairs = "", set()
    for key, value in rows:
        if key == "physical id":
            package = value
        elif key == "core id":
            pairs.add((package, value))
    if pairs:
        return len(pairs)
    topology = (f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list" for number in range(logical))
    return len({siblings for path in topology if (siblings := sources.text(path))}) or None


def _count(listed: str) -> int:
    """How many numbers a kernel list such as ``0-3,8`` names."""
    ends = (part.partition("-") for part in listed.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)


def _affinity(sources: Sources) -> int | None:
    """CPUs this process may run on (proc(5), /proc/pid/status)."""
    for line in (sources.text("proc/self/status") or "").splitlines():
        key, _, value = line.partition(":")
        if key == "Cpus_allowed_list":
            try:
                return _count(value.strip())
            except ValueError:
                return None
    return None


def _linux(sources: Sources) -> Cpu:
    text = sources.text("proc/cpuinfo") or ""
    rows = [
        (key.strip().lower(), value.strip()) for key, _, value in (line.partition(":") for line in text.splitlines())
    ]
    logical = sum(key == "processor" for key, _ in rows)
    quota = cpu_quota(sources)
    limits = [_affinity(sources) or logical or None, None if quota is None else max(1, math.ceil(quota))]
    return Cpu(
        model=next((value for key, value in rows if key == "model name" and value), None),
        physical_cores=_cores(sources, rows, logical),
        logical_cores=logical or None,
        usable_cores=min((limit for limit in limits if limit is not None), default=None),
        quota_cores=quota,
        **_features(text),
    )


def _macos(sources: Sources) -> Cpu:
    def has(*names: str) -> bool | None:
        known = [value == "1" for name in names if (value := sources.sysctl.get(name)) is not None]
        return any(known) if known else None

    arm, logical = sources.machine == "arm64", sources.sysctl_number("hw.logicalcpu")
    return Cpu(
        model=sources.sysctl.get("machdep.cpu.brand_string"),
        physical_cores=sources.sysctl_number("hw.physicalcpu"),
        logical_cores=logical,
        usable_cores=logical,
        bf16=has("hw.optional.arm.FEAT_BF16"),
        avx512=False if arm else has("hw.optional.avx512f"),
        amx=False if arm else None,
        neon=has("hw.optional.neon", "hw.optional.AdvSIMD") if arm else False,
        performance_cores=sources.sysctl_number("hw.perflevel0.physicalcpu"),
    )


def detect_cpu(sources: Sources) -> Cpu:
    """The processor of this machine."""
    return _macos(sources) if sources.system == "Darwin" else _linux(sources)
