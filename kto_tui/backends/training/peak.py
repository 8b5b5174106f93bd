"""Measures the peak memory of a run's first step, beside what was predicted for the very rows of that step."""

import contextlib
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import psutil

from kto_tui.backends.base import Job
from kto_tui.catalog import ModelSpec, resolve
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.memory.estimate import Estimate
from kto_tui.memory.measured import PeakRecord, add
from kto_tui.memory.predict import Window
from kto_tui.runs.events import PeakMeasured


class Reading(msgspec.Struct, frozen=True):
    """Peak memory in bytes; None where it cannot be told.

    Attributes:
        allocated: by the tensors of the training.
        reserved: by the allocator for them.
        outside: of the allocator: context, kernels, and on processors Python and its libraries.
    """

    allocated: int
    reserved: int | None = None
    outside: int | None = None


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


def process_reading() -> Callable[[], Reading]:
    """Reads what this process has needed at most beyond what it holds when this is called."""
    before = int(psutil.Process().memory_info().rss)
    return lambda: Reading(max(1, process_peak() - before), outside=before)


class PeakProbe:
    """Asked after the first step.

    Args:
        job: the run.
        device: type of what it runs on, for a record on a machine whose device has no name.
        read: the peak so far.
        predict: what was expected of a model with rows such as these; None where its shape is unknown.
    """

    def __init__(
        self,
        job: Job,
        device: str,
        read: Callable[[], Reading],
        predict: Callable[[ModelSpec, Window], Estimate | None],
    ) -> None:
        self._job, self._device = job, device
        self._read, self._predict = read, predict

    def report(self, rows: Sequence[PreparedRow]) -> None:
        """Tell the run and remember for later ones.

        Args:
            rows: of the first window.
        """
        reading = self._read()
        try:
            model = resolve(self._job.config.model)
        except UserError:
            return
        window = window_of(rows, self._job.config.recipe.micro_batch)
        predicted = self._predict(model, window)
        self._job.emit(
            PeakMeasured(
                allocated_bytes=reading.allocated,
                reserved_bytes=reading.reserved,
                outside_bytes=reading.outside,
                process_bytes=process_peak(),
                predicted_bytes=None if predicted is None else round(predicted.allocated),
                row_tokens=window.length,
            )
        )
        if predicted is not None:
            record = PeakRecord(
                device=detect().device_name or self._device,
                run=self._job.run.id,
                weights=predicted.parts.weights,
                predicted=predicted.allocated,
                measured=reading.allocated,
                outside=reading.outside,
                backend=self._job.config.backend,
            )
            add(record)
