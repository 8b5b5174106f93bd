"""Apple Silicon: the GPU that shares its memory with the processor."""

import re

from kto_tui.hardware.model import Gpu, Memory
from kto_tui.hardware.sources import Sources
from kto_tui.units import MIB


def gpu_cores(sources: Sources) -> int | None:
    """GPU cores from the I/O registry (ioreg(8)): system_profiler knows them too but takes several times as long."""
    found = re.search(
        r'"gpu-core-count" = (\d+)', sources.run(["ioreg", "-r", "-d", "1", "-c", "AGXAccelerator"]) or ""
    )
    return int(found[1]) if found else None


def detect_apple(sources: Sources, memory: Memory, cores: int | None) -> tuple[Gpu, ...]:
    """The integrated GPU of an Apple Silicon Mac, or nothing elsewhere.

    Unified memory: what the GPU can take is what the host has available. Metal recommends a smaller working set,
    which cannot be read without Metal; only a limit that the owner set (sysctl ``iogpu.wired_limit_mb``, 0 when
    macOS decides) is visible here.
    """
    if sources.system != "Darwin" or sources.machine != "arm64":
        return ()
    limit = (sources.sysctl_number("iogpu.wired_limit_mb") or 0) * MIB or None
    free = memory.available_bytes
    return (
        Gpu(
            index=0,
            name=sources.sysctl.get("machdep.cpu.brand_string") or "Apple GPU",
            kind="apple",
            total_bytes=memory.total_bytes,
            free_bytes=free if free is None or limit is None else min(free, limit),
            unified=True,
            cores=cores,
            working_set_bytes=limit,
        ),
    )
