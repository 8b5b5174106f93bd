"""Puts the sensors together."""

import os
import platform
import shutil
import socket

from kto_tui.hardware.apple import detect_apple
from kto_tui.hardware.cpu import detect_cpu, detect_memory
from kto_tui.hardware.model import Hardware
from kto_tui.hardware.nvidia import detect_nvidia
from kto_tui.paths import data_home, nearest_existing


def detect() -> Hardware:
    """This machine as it is now. Never raises for a missing sensor."""
    nvidia, notes = detect_nvidia()
    try:
        disk_free: int | None = shutil.disk_usage(nearest_existing(data_home())).free
    except OSError:
        disk_free = None
    return Hardware(
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.release()}",
        cpu=detect_cpu(),
        memory=detect_memory(),
        gpus=nvidia + detect_apple(),
        disk_free_bytes=disk_free,
        over_ssh=bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY")),
        notes=notes,
    )
