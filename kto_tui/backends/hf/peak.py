"""Measures the peak memory of a run's first step, beside what was predicted for the very rows of that step."""

import contextlib
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from kto_tui.backends.base import Job
from kto_tui.backends.hf.device import Device
from kto_tui.catalog import resolve
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.memory.estimate import estimate
from kto_tui.memory.measured import PeakRecord, add
from kto_tui.memory.predict import DeviceKind, Window
from kto_tui.runs.events import PeakMeasured


def process_peak() -> int:
    """The most bytes that have been resident in this process."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def window_of(rows: Sequence[PreparedRow], micro_batch: int) -> Window:
    """Rows of equal length that fill the largest pack of ``rows`` as far as it was filled."""
    lengths = [row.length for row in rows]
    cuts = packs(lengths, max_rows=micro_batch)
    largest = max(cuts, key=lambda cut: sum(lengths[cut.start : cut.stop]))
    tokens = sum(lengths[largest.start : largest.stop])
    scored = sum(len(row.completion_ids) for row in rows[largest.start : largest.stop])
    full = min(micro_batch, len(rows))
    return Window(max(2, -(-tokens // full)), max(1, -(-scored // full)))


def forget_process_peak() -> None:
    """Count ``process_peak`` from here on: loading maps whole checkpoints, whose pages the kernel takes back at will.

    Linux only (proc(5), clear_refs); elsewhere the peak stays.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class PeakProbe:
    """Made before the model is loaded, asked after the first step.

    Args:
        job: the run.
        device: what it runs on.
    """

    def __init__(self, job: Job, device: Device) -> None:
        self._job, self._device = job, device
        self._before = int(psutil.Process().memory_info().rss)

    def report(self, rows: Sequence[PreparedRow]) -> None:
        """Tell the run and remember for later ones.

        Args:
            rows: of the first window.
        """
        recipe, kind = self._job.config.recipe, self._device.type
        reserved: int | None = None
        outside: int | None = self._before
        if kind == "cuda":
            measured, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
            free, total = torch.cuda.mem_get_info()
            # Other programs' memory would be counted with the context.
            alone = total - free - torch.cuda.memory_reserved()
            outside = alone if 0 < alone < 2**31 else None
        elif kind == "mps":
            measured, outside = torch.mps.driver_allocated_memory(), None
        else:
            measured = max(1, process_peak() - self._before)
        try:
            model = resolve(self._job.config.model)
        except UserError:
            return
        window = window_of(rows, recipe.micro_batch)
        kinds: dict[str, DeviceKind] = {"cuda": "cuda", "mps": "mps"}
        predicted = estimate(model, recipe, kinds.get(kind, "cpu"), self._device.precision, window=window)
        self._job.emit(
            PeakMeasured(
                allocated_bytes=measured,
                reserved_bytes=reserved,
                outside_bytes=outside,
                process_bytes=process_peak(),
                predicted_bytes=None if predicted is None else round(predicted.allocated),
                row_tokens=window.length,
            )
        )
        if predicted is not None:
            record = PeakRecord(
                device=detect().device_name or kind,
                run=self._job.run.id,
                weights=predicted.parts.weights,
                predicted=predicted.allocated,
                measured=measured,
                outside=outside,
            )
            add(record)
