"""Gauges of a training process: memory and load of host and GPU. A sensor that fails is None, never 0."""

import contextlib
from typing import Any

import psutil

from kto_tui.runs.events import GaugesRead


class Telemetry:
    """Reads the gauges of process ``pid`` and its children, and of the GPU they use."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu_seconds: float | None = None
        self._cpu_at: float | None = None
        self._nvml: Any = None
        self._handles: list[Any] = []
        with contextlib.suppress(Exception):  # NVML missing or broken means no GPU gauges, nothing else
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

    def read(self, now: float) -> GaugesRead:
        """All gauges at monotonic time ``now`` in seconds."""
        processes = self._processes()
        available: int | None = None
        with contextlib.suppress(psutil.Error, OSError):
            available = int(psutil.virtual_memory().available)
        return GaugesRead(
            process_bytes=self._resident(processes),
            host_available_bytes=available,
            cpu_percent=self._cpu(processes, now),
            **self._gpu({process.pid for process in processes}),
        )

    def _processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [self._process, *self._process.children(recursive=True)]
        return []

    def _resident(self, processes: list[psutil.Process]) -> int | None:
        total = None
        for process in processes:
            with contextlib.suppress(psutil.Error):
                total = (total or 0) + int(process.memory_info().rss)
        # A process that is just ending has no memory left to read: unknown, not zero.
        return total or None

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

    def _gpu(self, pids: set[int]) -> dict[str, Any]:
        """Gauges of the GPU that holds most of our processes' memory, else of the first."""
        best: tuple[int, Any] | None = None
        for handle in self._handles:
            used = 0
            with contextlib.suppress(Exception):
                running = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
                used = sum(entry.usedGpuMemory or 0 for entry in running if entry.pid in pids)
            if best is None or used > best[0]:
                best = (used, handle)
        if best is None:
            return {}
        used, handle = best
        gauges: dict[str, Any] = {"gpu_process_bytes": used or None}
        with contextlib.suppress(Exception):
            memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            gauges |= {"gpu_used_bytes": int(memory.used), "gpu_total_bytes": int(memory.total)}
        with contextlib.suppress(Exception):
            gauges["gpu_percent"] = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with contextlib.suppress(Exception):
            sensor = self._nvml.NVML_TEMPERATURE_GPU
            gauges["gpu_celsius"] = float(self._nvml.nvmlDeviceGetTemperature(handle, sensor))
        with contextlib.suppress(Exception):
            gauges["gpu_watts"] = self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        return gauges
