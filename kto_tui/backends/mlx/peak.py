"""Peak memory of a run's first step as MLX's allocator counts it, beside what was predicted."""

from collections.abc import Callable, Sequence

import mlx.core as mx
import msgspec
import psutil

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.device import Device
from kto_tui.backends.training.peak import PeakProbe, Reading
from kto_tui.catalog import ModelSpec
from kto_tui.data.prepare import PreparedRow
from kto_tui.memory.estimate import Estimate, estimate
from kto_tui.memory.predict import DeviceKind, Window


def probe_of(job: Job, device: Device) -> Callable[[Sequence[PreparedRow]], None]:
    """Made before the model is loaded; to be called after the first step with the rows of its window."""
    before = int(psutil.Process().memory_info().rss)
    recipe = msgspec.structs.replace(job.config.recipe, precision=device.precision)

    def expected(model: ModelSpec, window: Window) -> Estimate | None:
        kind: DeviceKind = "mps" if device.type == "metal" else "cpu"
        return estimate(model, recipe, kind, device.precision, window=window, backend="mlx")

    return PeakProbe(job, device.type, lambda: Reading(mx.get_peak_memory(), outside=before), expected).report
