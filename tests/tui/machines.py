"""Constructed machines, so that what a test sees does not depend on where it runs."""

from kto_tui.hardware.model import Cpu, Gpu, Hardware, Memory
from kto_tui.units import GIB

CPU = Cpu(model="Ryzen 5 5600", physical_cores=6, logical_cores=12, usable_cores=12, bf16=False)
MEMORY = Memory(total_bytes=32 * GIB, available_bytes=25 * GIB)
LAPTOP = Hardware(
    host="laptop", system="Linux 6.1", cpu=CPU, memory=MEMORY, gpus=(), disk_free_bytes=200 * GIB, over_ssh=False
)
RTX_3070 = Hardware(
    host="gpu-box",
    system="Linux 6.1",
    cpu=CPU,
    memory=MEMORY,
    gpus=(
        Gpu(
            index=0,
            name="NVIDIA GeForce RTX 3070",
            kind="cuda",
            total_bytes=8 * GIB,
            free_bytes=round(7.2 * GIB),
            capability=(8, 6),
            driver="560.35.03",
            temperature_celsius=41,
        ),
    ),
    disk_free_bytes=212 * GIB,
    over_ssh=True,
)
