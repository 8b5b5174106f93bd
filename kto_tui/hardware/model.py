"""The facts about a machine that the rest of the program asks for."""

from typing import Literal

import msgspec


class Cpu(msgspec.Struct, frozen=True):
    """The processor. ``usable_cores`` honours CPU affinity; ``bf16``: it has bf16 dot products."""

    model: str | None
    physical_cores: int | None
    logical_cores: int | None
    usable_cores: int | None
    bf16: bool | None


class Memory(msgspec.Struct, frozen=True):
    """Host memory in bytes, already reduced to the cgroup's limit where one applies."""

    total_bytes: int | None
    available_bytes: int | None
    limited_by_cgroup: bool = False


class Gpu(msgspec.Struct, frozen=True):
    """One accelerator. ``capability`` is CUDA's (major, minor); unified memory is shared with the host."""

    index: int
    name: str
    kind: Literal["cuda", "apple"]
    total_bytes: int | None
    free_bytes: int | None
    capability: tuple[int, int] | None = None
    driver: str | None = None
    temperature_celsius: int | None = None
    unified: bool = False


class Hardware(msgspec.Struct, frozen=True):
    """A machine: what was detected, plus sentences about sensors that would not answer."""

    host: str
    system: str
    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...]
    disk_free_bytes: int | None
    over_ssh: bool
    notes: tuple[str, ...] = ()

    @property
    def device(self) -> Literal["cuda", "mps", "cpu"]:
        """The torch device type training would use here."""
        if any(gpu.kind == "cuda" for gpu in self.gpus):
            return "cuda"
        if any(gpu.kind == "apple" for gpu in self.gpus):
            return "mps"
        return "cpu"

    @property
    def training_gpu(self) -> Gpu | None:
        """The accelerator a single-process run uses: the one with most memory free."""
        return max(self.gpus, key=lambda gpu: gpu.free_bytes or 0, default=None)

    @property
    def free_training_bytes(self) -> int | None:
        """Memory a training process can take now: the GPU's free memory, else the host's available memory."""
        gpu = self.training_gpu
        return gpu.free_bytes if gpu is not None else self.memory.available_bytes

    @property
    def precision(self) -> Literal["bf16", "fp16", "fp32"]:
        """Floating-point format that suits the device.

        CUDA has bf16 from compute capability 8.0; before that fp16 with loss scaling. MPS trains in fp32 here
        because bf16 depends on the macOS version, which only torch can judge. CPUs use bf16 only where the
        hardware supports it.
        """
        gpu = self.training_gpu
        if gpu is not None and gpu.kind == "cuda":
            return "bf16" if gpu.capability is None or gpu.capability >= (8, 0) else "fp16"
        if gpu is None and self.cpu.bf16:
            return "bf16"
        return "fp32"
