"""Apple Silicon: the GPU that shares its memory with the processor."""

import re

from kto_tui.hardware.model import Gpu, Memory
from kto_tui.hardware.sources import Sources
from kto_tui.units import GIB, MIB

# Share of the memory that Metal recommends as the most a program keeps in use (Apple's documentation of
# MTLDevice.recommendedMaxWorkingSetSize): by macOS's oldest major version that has it, then from how many GiB of memory
# on. Apple publishes no rule. These are quotients of what llama.cpp prints as recommendedMaxWorkingSetSize on machines
# whose owners set no limit. Up to macOS 15 (MTLGPUFamilyMetal3): 10.67 GiB of 16, 21.33 of 32, 27 of 36, 48 of 64, 72
# of 96 (ggml-org/llama.cpp, issues 1870, 3213, pull request 2011; ollama/ollama, issue 434). From macOS 26 on
# (MTLGPUFamilyMetal4): 11.84 of 16, 13.32 of 18, 17.76 of 24, 24.96 of 32, 28.08 of 36, 37.44 of 48, 51.84 of 64,
# 107.52 of 128 (AlexsJones/llmfit, pull request 754; antirez/ds4, pull request 893). In between the smaller one holds.
WORKING_SET_SHARES = (
    (26, ((128, 0.84), (64, 0.81), (32, 0.78), (16, 0.74), (0, 2 / 3))),
    (0, ((36, 3 / 4), (0, 2 / 3))),
)


def estimated_working_set(total_bytes: int | None, macos: str | None) -> int | None:
    """About what Metal recommends as the largest working set where the owner has set no limit, in bytes.

    Args:
        total_bytes: the machine's memory.
        macos: its version, such as 15.1; None takes the smaller shares of older versions.
    """
    if total_bytes is None:
        return None
    major = int(found[0]) if (found := re.match(r"[0-9]{1,3}", macos or "")) else 0
    shares = next(shares for oldest, shares in WORKING_SET_SHARES if major >= oldest)
    return int(total_bytes * next(share for least, share in shares if total_bytes >= least * GIB))


def gpu_cores(sources: Sources) -> int | None:
    """GPU cores from the I/O registry (ioreg(8)): system_profiler knows them too but takes several times as long."""
    found = re.search(
        r'"gpu-core-count" = (\d+)', sources.run(["ioreg", "-r", "-d", "1", "-c", "AGXAccelerator"]) or ""
    )
    return int(found[1]) if found else None


def detect_apple(sources: Sources, memory: Memory, cores: int | None) -> tuple[Gpu, ...]:
    """The integrated GPU of an Apple Silicon Mac, or nothing elsewhere.

    Unified memory: what the GPU can take is what the host has available, but no more than the working set Metal
    recommends. That cannot be read without Metal; only a limit that the owner set (sysctl ``iogpu.wired_limit_mb``, 0
    when macOS decides) is visible here, and it is estimated where there is none.
    """
    if sources.system != "Darwin" or sources.machine != "arm64":
        return ()
    limit = (sources.sysctl_number("iogpu.wired_limit_mb") or 0) * MIB or None
    estimate = estimated_working_set(memory.total_bytes, sources.sysctl.get("kern.osproductversion"))
    free, most = memory.available_bytes, limit or estimate
    return (
        Gpu(
            index=0,
            name=sources.sysctl.get("machdep.cpu.brand_string") or "Apple GPU",
            kind="apple",
            total_bytes=memory.total_bytes,
            free_bytes=free if free is None or most is None else min(free, most),
            unified=True,
            cores=cores,
            working_set_bytes=limit,
            working_set_estimate_bytes=estimate if limit is None else None,
        ),
    )
