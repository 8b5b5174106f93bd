"""The facts about a machine that the rest of the program asks for. None means unknown, never 0."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal["cuda", "rocm", "apple"]


class Cpu(msgspec.Struct, frozen=True):
    """The processor.

    Attributes:
        usable_cores: logical cores this process may use: CPU affinity, then the cgroup's quota rounded up.
        bf16: it has bf16 dot products.
        amx: Intel's tile matrix units.
        performance_cores: cores of the fast kind, where there are two kinds (Apple).
        quota_cores: the cgroup's CPU bandwidth limit in cores; None when there is none.
    """

    model: str | None
    physical_cores: int | None
    logical_cores: int | None
    usable_cores: int | None
    bf16: bool | None
    avx512: bool | None = None
    amx: bool | None = None
    neon: bool | None = None
    performance_cores: int | None = None
    quota_cores: float | None = None


class Memory(msgspec.Struct, frozen=True):
    """Host memory and swap in bytes, already reduced to the cgroup's limits where they apply."""

    total_bytes: int | None
    available_bytes: int | None
    limited_by_cgroup: bool = False
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None


class GpuProcess(msgspec.Struct, frozen=True):
    """Another program on a GPU and the graphics memory it holds."""

    name: str | None
    used_bytes: int | None


class Gpu(msgspec.Struct, frozen=True):
    """One accelerator that training may use.

    Attributes:
        index: the driver's number of the card (nvidia-smi's order; /sys/class/drm's for AMD).
        kind: torch's ROCm builds call an AMD GPU "cuda" too; this tells it apart.
        capability: CUDA's (major, minor).
        unified: its memory is the host's.
        uuid: what CUDA_VISIBLE_DEVICES may name it by; a MIG instance has one of its own.
        cuda: newest CUDA version the driver supports.
        architecture: AMD's name of the instruction set, ``gfx1100``.
        mig: whether this is a MIG instance.
        cores: GPU cores as Apple counts them.
        working_set_bytes: Metal's memory limit where one is set by ``iogpu.wired_limit_mb``.
        working_set_estimate_bytes: about the working set that Metal recommends where none is set.
        others: programs on it other than this one, largest first.
    """

    index: int
    name: str
    kind: Kind
    total_bytes: int | None
    free_bytes: int | None
    capability: tuple[int, int] | None = None
    driver: str | None = None
    temperature_celsius: int | None = None
    unified: bool = False
    uuid: str | None = None
    cuda: str | None = None
    architecture: str | None = None
    mig: bool | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    utilization_percent: int | None = None
    cores: int | None = None
    working_set_bytes: int | None = None
    working_set_estimate_bytes: int | None = None
    others: tuple[GpuProcess, ...] | None = None


def preferred(gpus: Sequence[Gpu]) -> Gpu | None:
    """The one a single process trains on: NVIDIA before others, then the one with most memory free."""
    return max(gpus, key=lambda gpu: (gpu.kind == "cuda", gpu.free_bytes or 0), default=None)


class Hardware(msgspec.Struct, frozen=True):
    """A machine: what was detected, plus sentences about sensors that would not answer.

    Attributes:
        gpus: those a process started now would see, in its order; hidden ones are told in the notes.
        disk_free_bytes: where runs are kept.
        models_disk_free_bytes: where the hub cache lies.
        planned_as: name of the preset this is; None for the machine one sits at.
        container: docker, podman, kubernetes, lxc ...; None when nothing says so.
        wsl: version of the Windows Subsystem for Linux; None elsewhere.
        multiplexer: tmux or screen; None when nothing says so.
    """

    host: str
    system: str
    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...]
    disk_free_bytes: int | None
    over_ssh: bool
    notes: tuple[str, ...] = ()
    models_disk_free_bytes: int | None = None
    planned_as: str | None = None
    container: str | None = None
    wsl: int | None = None
    multiplexer: str | None = None

    @property
    def device(self) -> Literal["cuda", "mps", "cpu"]:
        """The torch device type training would use here."""
        gpu = self.training_gpu
        return "cpu" if gpu is None else "mps" if gpu.kind == "apple" else "cuda"

    @property
    def accelerator(self) -> Literal["cuda", "rocm", "mps", "cpu"]:
        """``device``, with AMD's GPUs told apart from NVIDIA's."""
        gpu = self.training_gpu
        return "rocm" if gpu is not None and gpu.kind == "rocm" else self.device

    @property
    def training_gpu(self) -> Gpu | None:
        """The accelerator a single-process run uses."""
        return preferred(self.gpus)

    @property
    def device_name(self) -> str | None:
        """What training runs on, by the name its maker gave it; measurements are kept under it."""
        gpu = self.training_gpu
        return self.cpu.model if gpu is None else gpu.name

    @property
    def free_training_bytes(self) -> int | None:
        """Memory a training process can take now: the GPU's free memory, else the host's available memory."""
        gpu = self.training_gpu
        return gpu.free_bytes if gpu is not None else self.memory.available_bytes

    @property
    def precision(self) -> Literal["bf16", "fp16", "fp32"]:
        """Floating-point format that suits the device.

        CUDA has bf16 from compute capability 8.0; before that fp16 with loss scaling. torch's ROCm builds report
        bf16 for every AMD GPU. MPS trains in fp32 here because bf16 depends on the macOS version, which only torch
        can judge. CPUs use bf16 only where the hardware supports it.
        """
        gpu = self.training_gpu
        if gpu is None:
            return "bf16" if self.cpu.bf16 else "fp32"
        if gpu.kind == "apple":
            return "fp32"
        return "bf16" if gpu.capability is None or gpu.capability >= (8, 0) else "fp16"
