"""Gauges of a training process: memory and load of host and GPU. A sensor that fails is None, never 0."""

from kto_tui.hardware.sources import Sources
from kto_tui.runs.events import GaugesRead
from kto_tui.worker.apple_gauges import AppleGauges
from kto_tui.worker.host_gauges import HostGauges
from kto_tui.worker.nvidia_gauges import NvidiaGauges


class Telemetry:
    """Reads the gauges of process ``pid`` and its children, and of the GPU they use.

    Args:
        pid: of the training process.
        sources: where sensors look; None is this machine.
    """

    def __init__(self, pid: int, sources: Sources | None = None) -> None:
        here = sources or Sources()
        apple = here.system == "Darwin" and here.machine == "arm64"
        self._host = HostGauges(pid)
        self._gpu = AppleGauges.of_this_machine(here) if apple else NvidiaGauges(here.nvml)

    def read(self, now: float) -> GaugesRead:
        """All gauges at monotonic time ``now`` in seconds."""
        processes = self._host.processes()
        gauges = self._host.read(processes, now)
        return GaugesRead(**gauges | self._gpu.read({process.pid for process in processes}))

    def close(self) -> None:
        """End what measures beside this process."""
        self._gpu.close()
