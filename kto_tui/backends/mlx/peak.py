"""Peak memory of a run's first step as MLX's allocator counts it, beside what was predicted."""

from collections.abc import Callable, Sequence

import mlx.core as mx
import psutil

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.device import Device
from kto_tui.backends.training.peak import PeakProbe, Reading
from kto_tui.data.prepare import PreparedRow


def probe_of(job: Job, device: Device) -> Callable[[Sequence[PreparedRow]], None]:
    """Made before the model is loaded; to be called after the first step with the rows of its window."""
    before = int(psutil.Process().memory_info().rss)
    probe = PeakProbe(
        job, device.type, lambda: Reading(mx.get_peak_memory(), outside=before), lambda _model, _rows: None
    )
    return probe.report
