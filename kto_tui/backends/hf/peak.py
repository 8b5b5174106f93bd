"""What torch tells of the peak memory of a run, and what was predicted."""

from collections.abc import Callable

import torch

from kto_tui.backends.hf.device import Device
from kto_tui.backends.training.peak import Reading, process_reading
from kto_tui.catalog import ModelSpec
from kto_tui.memory.estimate import Estimate, estimate
from kto_tui.memory.predict import DeviceKind, Window
from kto_tui.recipe import Recipe


def reading(device: Device) -> Callable[[], Reading]:
    """Reads the peak on ``device``; make it before the model is loaded."""
    readings = {"cuda": _cuda, "mps": lambda: Reading(torch.mps.driver_allocated_memory())}
    return readings[device.type] if device.type in readings else process_reading()


def _cuda() -> Reading:
    free, total = torch.cuda.mem_get_info()
    # Other programs' memory would be counted with the context.
    alone = total - free - torch.cuda.memory_reserved()
    return Reading(
        torch.cuda.max_memory_allocated(),
        torch.cuda.max_memory_reserved(),
        alone if 0 < alone < 2**31 else None,
    )


def prediction(recipe: Recipe, device: Device) -> Callable[[ModelSpec, Window], Estimate | None]:
    """What ``recipe`` was expected to take on ``device``, for the rows of a window."""
    kinds: dict[str, DeviceKind] = {"cuda": "cuda", "mps": "mps"}
    kind = kinds.get(device.type, "cpu")
    return lambda model, window: estimate(model, recipe, kind, device.precision, window=window)
