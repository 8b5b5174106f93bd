"""Hardware detection on constructed answers and on this machine.

The constructed NVML answers follow NVIDIA's NVML API reference (device queries, nvmlMemory_t in bytes, return
codes such as NVML_ERROR_NOT_SUPPORTED and NVML_ERROR_DRIVER_NOT_LOADED) in the form nvidia-ml-py gives them:
exceptions below NVMLError, names as str or bytes. The processor texts follow the Linux kernel's
Documentation/arch/x86/cpuinfo and Documentation/arch/arm64/elf_hwcaps, the memory limits its
Documentation/admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from kto_tui.hardware import Gpu, Hardware, cpu, detect
from kto_tui.hardware.nvidia import detect_nvidia

GIB = 1024**3
MIB = 1024**2


class NvmlError(Exception):
    pass


class LibraryNotFoundError(NvmlError):
    pass


class DriverNotLoadedError(NvmlError):
    def __str__(self) -> str:
        return "Driver Not Loaded"


class NotSupportedError(NvmlError):
    def __str__(self) -> str:
        return "Not Supported"


def refuse(error: type[Exception]) -> Callable[..., object]:
    def sensor(*_: object) -> object:
        raise error

    return sensor


def card(
    name: str | bytes, capability: tuple[int, int], total_mib: int, free_mib: int
) -> dict[str, str | bytes | tuple[int, int] | int]:
    return {"name": name, "capability": capability, "total": total_mib * MIB, "free": free_mib * MIB}


RTX_3070 = card("NVIDIA GeForce RTX 3070", (8, 6), 8192, 7600)
T4 = card("Tesla T4", (7, 5), 15360, 14900)
H100 = card(b"NVIDIA H100 80GB HBM3", (9, 0), 81559, 80900)


def driver(*cards: dict[str, object], **overrides: Callable[..., object]) -> SimpleNamespace:
    """A module with NVML's functions that lists ``cards``; ``overrides`` replaces single functions."""
    functions = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "570.86.15",
        "nvmlDeviceGetCount": lambda: len(cards),
        "nvmlDeviceGetHandleByIndex": lambda index: cards[index],
        "nvmlDeviceGetName": lambda handle: handle["name"],
        "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(
            total=h["total"], free=h["free"], used=h["total"] - h["free"]
        ),
        "nvmlDeviceGetCudaComputeCapability": lambda handle: handle["capability"],
        "nvmlDeviceGetTemperature": lambda handle, sensor: 41,
        "NVML_TEMPERATURE_GPU": 0,
        "NVMLError": NvmlError,
        "NVMLError_LibraryNotFound": LibraryNotFoundError,
    }
    return SimpleNamespace(**functions | overrides)


def machine(*gpus: Gpu) -> Hardware:
    return msgspec.structs.replace(detect(), gpus=gpus)


@pytest.mark.parametrize(
    ("spec", "name", "total", "precision"),
    [
        (RTX_3070, "NVIDIA GeForce RTX 3070", 8 * GIB, "bf16"),
        (T4, "Tesla T4", 15 * GIB, "fp16"),
        (H100, "NVIDIA H100 80GB HBM3", 81559 * MIB, "bf16"),
    ],
)
def test_one_nvidia_gpu(spec: dict[str, object], name: str, total: int, precision: str) -> None:
    gpus, notes = detect_nvidia(driver(spec))
    assert notes == ()
    (gpu,) = gpus
    assert (gpu.name, gpu.total_bytes, gpu.free_bytes) == (name, total, spec["free"])
    assert (gpu.kind, gpu.capability, gpu.driver) == ("cuda", spec["capability"], "570.86.15")
    assert gpu.temperature_celsius == 41
    here = machine(gpu)
    assert (here.device, here.precision, here.training_gpu) == ("cuda", precision, gpu)
    assert here.free_training_bytes == spec["free"]


def test_of_two_gpus_training_takes_the_one_with_more_memory_free() -> None:
    busy = card("NVIDIA H100 80GB HBM3", (9, 0), 81559, 300)
    gpus, notes = detect_nvidia(driver(busy, T4))
    assert [gpu.index for gpu in gpus] == [0, 1]
    assert notes == ()
    here = machine(*gpus)
    assert here.training_gpu == gpus[1]
    assert here.precision == "fp16"


def test_a_silent_memory_sensor_means_unknown_not_zero() -> None:
    (gpu,), notes = detect_nvidia(driver(H100, nvmlDeviceGetMemoryInfo=refuse(NotSupportedError)))
    assert (gpu.total_bytes, gpu.free_bytes) == (None, None)
    assert gpu.capability == (9, 0)
    assert notes == ()
    assert machine(gpu).free_training_bytes is None


def test_every_sensor_silent_still_lists_the_gpu() -> None:
    silent = {
        name: refuse(NotSupportedError)
        for name in (
            "nvmlSystemGetDriverVersion",
            "nvmlDeviceGetName",
            "nvmlDeviceGetMemoryInfo",
            "nvmlDeviceGetCudaComputeCapability",
            "nvmlDeviceGetTemperature",
        )
    }
    gpus, _ = detect_nvidia(driver(T4, **silent))
    assert gpus == (Gpu(index=0, name="GPU 0", kind="cuda", total_bytes=None, free_bytes=None),)


def test_a_driver_that_is_not_loaded_is_a_note() -> None:
    gpus, notes = detect_nvidia(driver(T4, nvmlInit=refuse(DriverNotLoadedError)))
    assert gpus == ()
    (note,) = notes
    assert "Driver Not Loaded" in note
    assert "nvidia-smi" in note


def test_no_driver_library_is_no_news() -> None:
    assert detect_nvidia(driver(nvmlInit=refuse(LibraryNotFoundError))) == ((), ())


def test_a_driver_without_gpus() -> None:
    assert detect_nvidia(driver()) == ((), ())


def test_a_driver_that_cannot_count_is_a_note() -> None:
    gpus, notes = detect_nvidia(driver(T4, nvmlDeviceGetCount=refuse(NotSupportedError)))
    assert gpus == ()
    assert "does not list its GPUs" in notes[0]


def test_a_lost_gpu_is_a_note_and_the_other_stays() -> None:
    def handle(index: int) -> object:
        if index == 0:
            raise NvmlError
        return RTX_3070

    gpus, notes = detect_nvidia(driver(T4, RTX_3070, nvmlDeviceGetHandleByIndex=handle))
    assert [(gpu.index, gpu.name) for gpu in gpus] == [(1, "NVIDIA GeForce RTX 3070")]
    assert notes == ("GPU 0 does not answer",)


X86 = """processor\t: 0
vendor_id\t: {vendor}
model name\t: {model}
flags\t\t: fpu vme sse sse2 avx avx2 {flags}
vmx flags\t: vnmi preemption_timer
bugs\t\t: spectre_v1

processor\t: 1
model name\t: {model}
flags\t\t: fpu vme sse sse2 avx avx2 {flags}
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp sve {flags}
CPU implementer\t: 0x41
"""


@pytest.mark.parametrize(
    ("text", "model", "bf16"),
    [
        (
            X86.format(vendor="AuthenticAMD", model="AMD EPYC 9354", flags="avx512f avx512_bf16"),
            "AMD EPYC 9354",
            True,
        ),
        (
            X86.format(vendor="GenuineIntel", model="Intel Xeon 8480+", flags="amx_bf16 amx_tile"),
            "Intel Xeon 8480+",
            True,
        ),
        (
            X86.format(vendor="GenuineIntel", model="Intel Core i5-7200U", flags=""),
            "Intel Core i5-7200U",
            False,
        ),
        (ARM.format(flags="i8mm bf16"), None, True),
        (ARM.format(flags="i8mm"), None, False),
        ("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\n", None, None),
        ("", None, None),
    ],
    ids=["avx512_bf16", "amx_bf16", "old-laptop", "arm-bf16", "arm-plain", "riscv", "empty"],
)
def test_cpuinfo(text: str, model: str | None, bf16: bool | None) -> None:
    assert cpu.parse_cpuinfo(text) == (model, bf16)


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp32"), (None, "fp32")])
def test_precision_without_a_gpu(bf16: bool | None, precision: str) -> None:
    here = machine()
    here = msgspec.structs.replace(here, cpu=msgspec.structs.replace(here.cpu, bf16=bf16))
    assert (here.device, here.precision, here.training_gpu) == ("cpu", precision, None)
    assert here.free_training_bytes == here.memory.available_bytes


def test_an_apple_gpu_trains_in_fp32_from_the_hosts_memory() -> None:
    gpu = Gpu(index=0, name="Apple M2", kind="apple", total_bytes=24 * GIB, free_bytes=15 * GIB, unified=True)
    here = machine(gpu)
    assert (here.device, here.precision, here.free_training_bytes) == ("mps", "fp32", 15 * GIB)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A 16 GiB host with 12 GiB available and no cgroup files yet; they go to ``v1/`` and ``v2/`` in here."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    monkeypatch.setattr(cpu, "CGROUP_V2_LIMIT", tmp_path / "v2" / "memory.max")
    monkeypatch.setattr(cpu, "CGROUP_V2_USED", tmp_path / "v2" / "memory.current")
    monkeypatch.setattr(cpu, "CGROUP_V1_LIMIT", tmp_path / "v1" / "memory.limit_in_bytes")
    monkeypatch.setattr(cpu, "CGROUP_V1_USED", tmp_path / "v1" / "memory.usage_in_bytes")
    host = SimpleNamespace(total=16 * GIB, available=12 * GIB)
    monkeypatch.setattr(cpu.psutil, "virtual_memory", lambda: host)
    return tmp_path


def test_memory_of_a_host_without_cgroup_limit(cgroups: Path) -> None:
    (cgroups / "v2" / "memory.max").write_text("max\n")
    (cgroups / "v2" / "memory.current").write_text(f"{4 * GIB}\n")
    (cgroups / "v1" / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # v1's "no limit"
    memory = cpu.detect_memory()
    assert (memory.total_bytes, memory.available_bytes) == (16 * GIB, 12 * GIB)
    assert not memory.limited_by_cgroup


@pytest.mark.parametrize(
    ("version", "limit", "used"),
    [("v2", "memory.max", "memory.current"), ("v1", "memory.limit_in_bytes", "memory.usage_in_bytes")],
)
def test_a_container_of_4_gib(cgroups: Path, version: str, limit: str, used: str) -> None:
    (cgroups / version / limit).write_text(f"{4 * GIB}\n")
    (cgroups / version / used).write_text(f"{1 * GIB}\n")
    memory = cpu.detect_memory()
    assert (memory.total_bytes, memory.available_bytes) == (4 * GIB, 3 * GIB)
    assert memory.limited_by_cgroup


@pytest.mark.parametrize(
    ("version", "limit", "used", "stat"),
    [
        ("v2", "memory.max", "memory.current", "anon 1\ninactive_file {cache}\n"),
        (
            "v1",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "inactive_file 0\ntotal_inactive_file {cache}\n",
        ),
    ],
)
def test_file_cache_of_a_container_counts_as_available(
    cgroups: Path, version: str, limit: str, used: str, stat: str
) -> None:
    (cgroups / version / limit).write_text(f"{4 * GIB}\n")
    (cgroups / version / used).write_text(f"{4 * GIB}\n")
    (cgroups / version / "memory.stat").write_text(stat.format(cache=3 * GIB))
    assert cpu.detect_memory().available_bytes == 3 * GIB


def test_available_never_exceeds_the_limit(cgroups: Path) -> None:
    (cgroups / "v2" / "memory.max").write_text(f"{4 * GIB}\n")
    memory = cpu.detect_memory()
    assert (memory.total_bytes, memory.available_bytes) == (4 * GIB, 4 * GIB)


def test_this_machine() -> None:
    here = detect()
    assert here.host
    assert here.system
    assert here.cpu.usable_cores is not None
    assert 1 <= here.cpu.usable_cores <= (os.cpu_count() or 1)
    assert here.memory.total_bytes is not None
    assert here.memory.available_bytes is not None
    assert 0 < here.memory.available_bytes <= here.memory.total_bytes
    assert here.disk_free_bytes is None or here.disk_free_bytes >= 0
    assert all(gpu.total_bytes is None or gpu.total_bytes > 0 for gpu in here.gpus)
    assert here.precision in {"bf16", "fp16", "fp32"}


def test_facts_survive_json() -> None:
    here = detect()
    assert msgspec.json.decode(msgspec.json.encode(here), type=Hardware) == here
