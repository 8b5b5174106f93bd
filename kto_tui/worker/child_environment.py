"""The device and environment of the training process: one GPU of several, an allocator that returns memory."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kto_tui.hardware.amd import detect_amd
from kto_tui.hardware.model import Gpu, preferred
from kto_tui.hardware.sources import Sources

# glibc's malloc by itself raises this to 32 MiB, keeps freed tensors in its heap and tears that to pieces: a step took
# 1.4 to 1.7 times the memory it used. Larger blocks than this are the kernel's own, and gone when they are freed.
MMAP_THRESHOLD = 512 * 1024
# Names the process whose death ends the training.
SUPERVISOR = "KTO_TUI_SUPERVISOR"


class Device(NamedTuple):
    """What one training process has for itself. ``key``: tells it from all others of this host."""

    key: str
    name: str


def device_of(gpu: Gpu | None, sources: Sources) -> Device:
    """The device a run gets.

    Args:
        gpu: the NVIDIA GPU it uses, if any.
        sources: where the others are looked for.
    """
    if gpu is not None:
        return Device(gpu.uuid or f"cuda-{gpu.index}", f"GPU {gpu.index}")
    if detect_amd(sources)[0]:  # nothing narrows a process to one of several of these
        return Device("rocm", "rocm")
    name = "mps" if sources.system == "Darwin" and sources.machine == "arm64" else "cpu"
    return Device(name, name)


def training_gpu(gpus: Sequence[Gpu], occupied: Collection[Gpu] = ()) -> Gpu | None:
    """The planner's choice, or while other runs have that one an idle GPU with as much memory."""
    best = preferred(gpus)
    if best is None or best not in occupied:
        return best
    idle = [gpu for gpu in gpus if gpu not in occupied and (gpu.total_bytes or 0) >= (best.total_bytes or 0)]
    return preferred(idle) or best


def one_gpu(
    environment: Mapping[str, str], gpus: Sequence[Gpu], chosen: Gpu | None = None
) -> tuple[dict[str, str], str | None]:
    """Environment that shows a single process one NVIDIA GPU, and a remark when it could have seen several.

    TRL refuses several visible GPUs in one process, because Trainer would then use ``nn.DataParallel``. The choice is
    the planner's, so that what was predicted is what is used.

    Args:
        environment: of this process.
        gpus: those CUDA would see under it; empty where the driver does not say.
        chosen: of these instead.
    """
    asked = environment.get("CUDA_VISIBLE_DEVICES")
    if not gpus and asked is not None and "," in asked:
        first = asked.split(",")[0]
        remark = f"CUDA_VISIBLE_DEVICES names several GPUs; this run uses the first, {first}"
        return {**environment, "CUDA_VISIBLE_DEVICES": first}, remark
    best = preferred(gpus)
    gpu = chosen or best
    if gpu is None or len(gpus) < 2:
        return dict(environment), None
    # NVML counts in PCI order, CUDA does so only when told; a GPU's own identifier needs no order.
    shown = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.uuid or str(gpu.index)}
    why = "the one with most memory free" if gpu == best else "which no other run has"
    return {**environment, **shown}, f"{len(gpus)} GPUs found; this run uses GPU {gpu.index}, {why}"


def returns_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment in which glibc gives tensors back when they are freed; other C libraries do not read it.

    Variables that are set already stay (mallopt(3), MALLOC_MMAP_THRESHOLD_; the GNU C library's manual, Memory
    Allocation Tunables). Huge pages make up for some of the time that fresh pages take.
    """
    tunables = environment.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    return {"MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD), **environment, "GLIBC_TUNABLES": tunables}
