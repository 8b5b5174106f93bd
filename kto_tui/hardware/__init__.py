"""What this machine is: detection without torch. ``None`` means unknown, never 0."""

from kto_tui.hardware.detect import detect
from kto_tui.hardware.model import Cpu, Gpu, Hardware, Memory

__all__ = ["Cpu", "Gpu", "Hardware", "Memory", "detect"]
