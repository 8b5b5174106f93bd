"""Puts the sensors together, slow ones side by side, none of them for longer than its time."""

import shutil
from functools import partial
from pathlib import Path

from kto_tui.hardware import surroundings
from kto_tui.hardware.amd import detect_amd
from kto_tui.hardware.apple import detect_apple, gpu_cores
from kto_tui.hardware.cpu import detect_cpu
from kto_tui.hardware.memory import detect_memory
from kto_tui.hardware.model import Hardware
from kto_tui.hardware.nvidia import detect_nvidia
from kto_tui.hardware.sources import COMMAND_SECONDS, Sources, ask, in_background
from kto_tui.paths import data_home, hub_cache, nearest_existing

# A driver that nothing keeps loaded wakes its cards first, which takes a second or two each.
NVML_SECONDS = 8.0
DISK_SECONDS = 2.0  # a network share may be gone
LATE = (), ("The NVIDIA driver has not answered in time; run nvidia-smi to see why",)


def disk_free(path: Path) -> int | None:
    """Bytes free on the disk that holds ``path``, whether it exists yet or not."""
    return ask(lambda: shutil.disk_usage(nearest_existing(path)).free)


def detect(sources: Sources | None = None, *, nvml_seconds: float = NVML_SECONDS) -> Hardware:
    """This machine as it is now. Never raises for a missing sensor, never waits for one that hangs."""
    here = sources or Sources()
    nvidia = in_background(partial(detect_nvidia, here))
    runs, models = (in_background(partial(disk_free, path)) for path in (data_home(), hub_cache()))
    cores = in_background(partial(gpu_cores, here)) if here.system == "Darwin" else None
    memory = detect_memory(here)
    apple = detect_apple(here, memory, cores(COMMAND_SECONDS) if cores else None)
    amd, amd_notes = detect_amd(here)
    cuda, cuda_notes = nvidia(nvml_seconds) or LATE
    return Hardware(
        host=here.host,
        system=surroundings.system(here),
        cpu=detect_cpu(here),
        memory=memory,
        gpus=cuda + amd + apple,
        disk_free_bytes=runs(DISK_SECONDS),
        models_disk_free_bytes=models(DISK_SECONDS),
        over_ssh=surroundings.over_ssh(here),
        notes=cuda_notes + amd_notes,
        container=surroundings.container(here),
        wsl=surroundings.wsl(here),
        multiplexer=surroundings.multiplexer(here),
    )
