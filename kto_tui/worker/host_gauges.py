"""Gauges that every host has: memory and processor time of the training processes, and the memory left to others."""

import contextlib
from typing import Any

import psutil


class HostGauges:
    """Reads what process ``pid`` and its children take, and what the host has left."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu_seconds: float | None = None
        self._cpu_at: float | None = None

    def processes(self) -> list[psutil.Process]:
        """The training process and its children; none when it is gone."""
        with contextlib.suppress(psutil.Error):
            return [self._process, *self._process.children(recursive=True)]
        return []

    def read(self, processes: list[psutil.Process], now: float) -> dict[str, Any]:
        """Fields of ``GaugesRead`` at monotonic time ``now`` in seconds; bytes, and percent of one core.

        ``wired_bytes`` is memory the kernel may neither page nor compress, the GPU's among it; only macOS counts it
        (psutil's documentation of virtual_memory, from Mach's vm_statistics64).
        """
        available: int | None = None
        wired: int | None = None
        with contextlib.suppress(psutil.Error, OSError, RuntimeError):
            memory = psutil.virtual_memory()
            available = int(memory.available)
            wired = getattr(memory, "wired", None)
        return {
            "process_bytes": _resident(processes),
            "host_available_bytes": available,
            "wired_bytes": wired,
            "cpu_percent": self._cpu(processes, now),
        }

    def _cpu(self, processes: list[psutil.Process], now: float) -> float | None:
        seconds = 0.0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
        before, at = self._cpu_seconds, self._cpu_at
        self._cpu_seconds, self._cpu_at = seconds, now
        if before is None or at is None or now <= at or seconds < before:
            return None
        return round(100 * (seconds - before) / (now - at), 1)


def _resident(processes: list[psutil.Process]) -> int | None:
    total = None
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total = (total or 0) + int(process.memory_info().rss)
    # A process that is just ending has no memory left to read: unknown, not zero.
    return total or None
