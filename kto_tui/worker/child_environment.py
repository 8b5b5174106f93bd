"""The environment of the training process: one GPU of several, and on processors an allocator that returns memory."""

from collections.abc import Mapping, Sequence

from kto_tui.hardware.model import Gpu, preferred

# glibc's malloc by itself raises this to 32 MiB, keeps freed tensors in its heap and tears that to pieces: a step took
# 1.4 to 1.7 times the memory it used. Larger blocks than this are the kernel's own, and gone when they are freed.
MMAP_THRESHOLD = 512 * 1024


def one_gpu(environment: Mapping[str, str], gpus: Sequence[Gpu]) -> tuple[dict[str, str], str | None]:
    """Environment that shows a single process one NVIDIA GPU, and a remark when it could have seen several.

    TRL refuses several visible GPUs in one process, because Trainer would then use ``nn.DataParallel``. The choice is
    the planner's, so that what was predicted is what is used.

    Args:
        environment: of this process.
        gpus: those CUDA would see under it; empty where the driver does not say.
    """
    asked = environment.get("CUDA_VISIBLE_DEVICES")
    if not gpus and asked is not None and "," in asked:
        first = asked.split(",")[0]
        remark = f"CUDA_VISIBLE_DEVICES names several GPUs; this run uses the first, {first}"
        return {**environment, "CUDA_VISIBLE_DEVICES": first}, remark
    best = preferred(gpus)
    if best is None or len(gpus) < 2:
        return dict(environment), None
    # NVML counts in PCI order, CUDA does so only when told; a GPU's own identifier needs no order.
    chosen = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": best.uuid or str(best.index)}
    remark = f"{len(gpus)} GPUs found; this run uses GPU {best.index}, the one with most memory free"
    return {**environment, **chosen}, remark


def returns_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment in which glibc gives tensors back when they are freed; other C libraries do not read it.

    Variables that are set already stay (mallopt(3), MALLOC_MMAP_THRESHOLD_; the GNU C library's manual, Memory
    Allocation Tunables). Huge pages make up for some of the time that fresh pages take.
    """
    tunables = environment.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    return {"MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD), **environment, "GLIBC_TUNABLES": tunables}
