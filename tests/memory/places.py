"""Machines built by hand, so that what a test sees does not depend on where it runs."""

from kto_tui.hardware import Cpu, Gpu, Hardware, Memory
from kto_tui.units import GIB


def machine(*gpus: Gpu, bf16: bool = False, available: int | None = 16 * GIB) -> Hardware:
    cpu = Cpu("a processor", 4, 8, 8, bf16)
    return Hardware("host", "Linux", cpu, Memory(32 * GIB, available), gpus, 100 * GIB, over_ssh=False)


def cuda(free: float | None, capability: tuple[int, int] = (8, 6), name: str = "a card") -> Hardware:
    free_bytes = None if free is None else int(free * GIB)
    return machine(Gpu(0, name, "cuda", 80 * GIB, free_bytes, capability))


MACHINES = {
    "RTX 3070": cuda(7.6),
    "T4": cuda(14.6, (7, 5)),
    "H100": cuda(79, (9, 0)),
    "Radeon": machine(Gpu(0, "Radeon RX 7900 XTX", "rocm", 24 * GIB, 23 * GIB)),
    "CPU bf16": machine(bf16=True, available=30 * GIB),
    "CPU fp32": machine(available=6 * GIB),
    "Mac": machine(Gpu(0, "Apple M2", "apple", 16 * GIB, 11 * GIB, unified=True)),
}
