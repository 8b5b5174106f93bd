"""Gauges of an Apple Silicon GPU: load, unified memory, thermal pressure, and power where a package reads it."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psutil

from kto_tui.hardware.apple_sensors import GPU_STATISTICS, THERMAL_PRESSURE, gpu_statistics, thermal_pressure
from kto_tui.hardware.sources import Sources, ask
from kto_tui.worker.gpu_power import GpuPower, gpu_power

Value = TypeVar("Value")
# Thermal pressure changes within minutes, and each question is a process: every fifth reading asks.
THERMAL_EVERY = 5


class LaggingSensor(Generic[Value]):
    """A sensor that takes its time: asked in a thread, so that no reading waits for it.

    A reading gets the answer to the question of the reading before; None while there is none, or once it is late.

    Args:
        sensor: gives the value, None where it has none.
        every: readings from one question to the next.
    """

    def __init__(self, sensor: Callable[[], Value | None], every: int = 1) -> None:
        self._sensor = sensor
        self._every = every
        self._reading = 0
        self._asking: threading.Thread | None = None
        self._answer: Value | None = None

    def read(self) -> Value | None:
        """The newest answer; asks again where it is time and nothing is being asked."""
        late = self._asking is not None and self._asking.is_alive()
        answer = None if late else self._answer
        if not late and self._reading % self._every == 0:
            self._asking = threading.Thread(target=self._ask, daemon=True)
            self._asking.start()
        self._reading += not late
        return answer

    def _ask(self) -> None:
        self._answer = ask(self._sensor)


class AppleGauges:
    """Reads the integrated GPU. Unified memory: what it has in all is what the host has.

    Temperature stays unknown: only keys of the System Management Controller that differ from chip to chip give it, and
    nothing documents them.

    Args:
        sources: where commands are run.
        power: reads its draw; None where nothing can.
    """

    def __init__(self, sources: Sources, power: GpuPower | None = None) -> None:
        self._power = power
        self._statistics = LaggingSensor(lambda: gpu_statistics(sources.run(GPU_STATISTICS) or ""))
        self._pressure = LaggingSensor(lambda: thermal_pressure(sources.run(THERMAL_PRESSURE) or ""), THERMAL_EVERY)

    @classmethod
    def of_this_machine(cls, sources: Sources) -> "AppleGauges":
        """With its power where the package that reads it is installed."""
        return cls(sources, gpu_power())

    def read(self, _pids: set[int]) -> dict[str, Any]:
        """Fields of ``GaugesRead``; those of the GPU are over all programs."""
        gauges: dict[str, Any] = {"thermal_pressure": self._pressure.read()}
        if (found := self._statistics.read()) is not None:
            gauges |= {"gpu_percent": found.percent, "gpu_used_bytes": found.used_bytes}
        with contextlib.suppress(psutil.Error, OSError, RuntimeError):
            gauges["gpu_total_bytes"] = int(psutil.virtual_memory().total)
        if self._power is not None:
            gauges["gpu_watts"] = self._power.read()
        return gauges

    def close(self) -> None:
        """End the process that reads the power."""
        if self._power is not None:
            self._power.close()
