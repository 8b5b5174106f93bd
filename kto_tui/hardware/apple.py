"""Apple Silicon: the GPU that shares its memory with the processor."""

import platform

import psutil

from kto_tui.hardware.cpu import sysctl
from kto_tui.hardware.model import Gpu


def detect_apple() -> tuple[Gpu, ...]:
    """The integrated GPU of an Apple Silicon Mac, or nothing elsewhere.

    Unified memory: what the GPU can take is what the host has available; Metal's own working-set limit is not
    visible without Metal and is left to the backend.
    """
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return ()
    memory = psutil.virtual_memory()
    return (
        Gpu(
            index=0,
            name=sysctl("machdep.cpu.brand_string") or "Apple GPU",
            kind="apple",
            total_bytes=int(memory.total),
            free_bytes=int(memory.available),
            unified=True,
        ),
    )
