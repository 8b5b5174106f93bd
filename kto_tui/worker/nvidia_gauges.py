"""Gauges of the NVIDIA GPU a training runs on, through NVML (NVIDIA's NVML API reference)."""

import contextlib
from typing import Any


class NvidiaGauges:
    """Reads the GPU that holds most of our processes' memory. ``module``: has NVML's functions; None imports it."""

    def __init__(self, module: Any = None) -> None:  # noqa: ANN401
        self._nvml: Any = module
        self._handles: list[Any] = []
        with contextlib.suppress(Exception):  # NVML missing or broken means no GPU gauges, nothing else
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]

    def read(self, pids: set[int]) -> dict[str, Any]:
        """Fields of ``GaugesRead`` for the GPU that ``pids`` use most, else for the first; empty without a GPU."""
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

    def close(self) -> None:
        """Nothing to end: NVML goes with the process."""
