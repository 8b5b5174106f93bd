"""Constructed answers of drivers, kernels and macOS, laid out as the documentation named beside each says.

NVML: NVIDIA's NVML API reference in the form nvidia-ml-py gives it: exceptions below NVMLError, names as str or
bytes, nvmlMemory_t in bytes, power in milliwatts, [current, pending] MIG mode, usedGpuMemory None where the driver
says NVML_VALUE_NOT_AVAILABLE.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kto_tui.hardware.sources import Sources

GIB, MIB = 1024**3, 1024**2


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


def refuse(error: type[Exception] = NotSupportedError) -> Callable[..., object]:
    def sensor(*_: object) -> object:
        raise error

    return sensor


def process(pid: int, name: str | None, used_mib: int | None) -> SimpleNamespace:
    """nvmlProcessInfo_t, with the name that nvmlSystemGetProcessName gives for it."""
    return SimpleNamespace(pid=pid, name=name, usedGpuMemory=None if used_mib is None else used_mib * MIB)


def card(
    name: str | bytes,
    capability: tuple[int, int],
    total_mib: int,
    free_mib: int,
    *,
    watts: int = 220,
    uuid: str = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    compute: Sequence[SimpleNamespace] = (),
    graphics: Sequence[SimpleNamespace] = (),
    instances: Sequence["SimpleNamespace | None"] | None = None,
    place: tuple[int, int] | None = None,
) -> SimpleNamespace:
    """One device; ``instances`` (with empty slots) puts it into MIG mode, ``place`` makes it such an instance."""
    return SimpleNamespace(
        name=name,
        capability=capability,
        total=total_mib * MIB,
        free=free_mib * MIB,
        watts=watts,
        uuid=uuid,
        compute=compute,
        graphics=graphics,
        instances=instances,
        place=place,
    )


# Total memory as nvidia-smi prints it for these boards.
RTX_3070 = card("NVIDIA GeForce RTX 3070", (8, 6), 8192, 7600)
RTX_3060 = card(
    "NVIDIA GeForce RTX 3060", (8, 6), 12288, 11700, watts=170, uuid="GPU-11111111-0000-0000-0000-000000000000"
)
RTX_3090 = card(
    "NVIDIA GeForce RTX 3090", (8, 6), 24576, 24000, watts=350, uuid="GPU-33333333-0000-0000-0000-000000000000"
)
RTX_4090 = card("NVIDIA GeForce RTX 4090", (8, 9), 24564, 24100, watts=450)
RTX_5090 = card("NVIDIA GeForce RTX 5090", (12, 0), 32607, 32000, watts=575)
T4 = card("Tesla T4", (7, 5), 15360, 14900, watts=70, uuid="GPU-44444444-0000-0000-0000-000000000000")
A100 = card("NVIDIA A100-SXM4-80GB", (8, 0), 81920, 81000, watts=400)
H100 = card(b"NVIDIA H100 80GB HBM3", (9, 0), 81559, 80900, watts=700)
CARDS = {"3070": RTX_3070, "3060": RTX_3060, "3090": RTX_3090, "4090": RTX_4090, "5090": RTX_5090, "T4": T4,
         "A100": A100, "H100": H100}  # fmt: skip


def instance(profile: str, total_mib: int, uuid: str, place: tuple[int, int]) -> SimpleNamespace:
    return card(f"NVIDIA A100-SXM4-80GB MIG {profile}", (8, 0), total_mib, total_mib - 40, uuid=uuid, place=place)


MIG_UUIDS = ("MIG-aaaaaaaa-1111-5555-8888-000000000001", "MIG-bbbbbbbb-1111-5555-8888-000000000002")
MIG_A100 = card(
    "NVIDIA A100-SXM4-80GB",
    (8, 0),
    81920,
    81000,
    watts=400,
    instances=[instance("3g.40gb", 40192, MIG_UUIDS[0], (1, 0)), None, instance("1g.10gb", 9728, MIG_UUIDS[1], (9, 0))],
)


def nvml(*cards: SimpleNamespace, **overrides: Callable[..., object]) -> SimpleNamespace:
    """A module with NVML's functions that lists ``cards``; ``overrides`` replaces single functions."""
    processes = [
        one
        for each in cards
        for part in (each, *(each.instances or ()))
        if part
        for one in (*part.compute, *part.graphics)
    ]

    def only(allowed: bool, value: Any) -> Any:
        if not allowed:
            raise NotSupportedError
        return value

    functions = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "570.86.15",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
        "nvmlSystemGetProcessName": lambda pid: next(one.name for one in processes if one.pid == pid),
        "nvmlDeviceGetCount": lambda: len(cards),
        "nvmlDeviceGetHandleByIndex": lambda index: cards[index],
        "nvmlDeviceGetName": lambda handle: handle.name,
        "nvmlDeviceGetUUID": lambda handle: handle.uuid,
        "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(total=h.total, free=h.free, used=h.total - h.free),
        "nvmlDeviceGetCudaComputeCapability": lambda handle: handle.capability,
        "nvmlDeviceGetTemperature": lambda handle, sensor: only(handle.place is None, 41),
        "nvmlDeviceGetPowerUsage": lambda handle: only(handle.place is None, 32_400),
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: only(handle.place is None, handle.watts * 1000),
        "nvmlDeviceGetUtilizationRates": lambda handle: only(handle.place is None, SimpleNamespace(gpu=0, memory=0)),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: handle.compute,
        "nvmlDeviceGetGraphicsRunningProcesses": lambda handle: handle.graphics,
        "nvmlDeviceGetMigMode": lambda handle: [int(handle.instances is not None)] * 2,
        "nvmlDeviceGetMaxMigDeviceCount": lambda handle: len(handle.instances or ()),
        "nvmlDeviceGetMigDeviceHandleByIndex": lambda h, i: only(h.instances[i] is not None, h.instances[i]),
        "nvmlDeviceGetGpuInstanceId": lambda handle: handle.place[0],
        "nvmlDeviceGetComputeInstanceId": lambda handle: handle.place[1],
        "NVML_TEMPERATURE_GPU": 0,
        "NVMLError": NvmlError,
        "NVMLError_LibraryNotFound": LibraryNotFoundError,
    }
    return SimpleNamespace(**functions | overrides)


NO_DRIVER = nvml(nvmlInit=refuse(LibraryNotFoundError))


def linux(root: Path, files: Mapping[str, str], module: Any = NO_DRIVER, **env: str) -> Sources:
    """A Linux machine made of ``files`` below ``root``."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Sources(root=root, env=env, run=lambda _: None, nvml=module, system="Linux", machine="x86_64", release="6.1")


def with_nvml(module: Any, **env: str) -> Sources:
    return Sources(root=Path("/nowhere"), env=env, run=lambda _: None, nvml=module, system="Linux", pid=1)


# proc(5), /proc/cpuinfo; Linux kernel, Documentation/arch/x86/cpuinfo and arch/arm64/elf_hwcaps.
def x86_cpuinfo(model: str, flags: str, cores: int = 2, threads: int = 1) -> str:
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: any\nmodel name\t: {model}\nphysical id\t: 0\n"
        f"core id\t\t: {number % cores}\nflags\t\t: fpu sse2 avx2 {flags}\nvmx flags\t: vnmi\nbugs\t\t: spectre_v1\n"
        for number in range(cores * threads)
    )


def arm_cpuinfo(features: str, cores: int = 4) -> str:
    return "\n".join(
        f"processor\t: {number}\nBogoMIPS\t: 2100.00\nFeatures\t: fp aes {features}\nCPU implementer\t: 0x41\n"
        for number in range(cores)
    )


def meminfo(total: int, available: int, swap: int = 0, swap_free: int = 0) -> str:
    """Linux kernel, Documentation/filesystems/proc, meminfo."""
    rows = {"MemTotal": total, "MemFree": 1, "MemAvailable": available, "SwapTotal": swap, "SwapFree": swap_free}
    return "".join(f"{name}:{value // 1024:>16} kB\n" for name, value in rows.items()) + "HugePages_Total:       0\n"


LAPTOP = {
    "proc/cpuinfo": x86_cpuinfo("Intel(R) Core(TM) i5-7200U CPU @ 2.50GHz", "", cores=2, threads=2),
    "proc/meminfo": meminfo(16 * GIB, 12 * GIB, 2 * GIB, 1 * GIB),
    "proc/self/status": "Name:\tpython\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
    "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
    "sys/fs/cgroup/user.slice/memory.max": "max\n",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
}


def mac(chip: str, gib: int, cores: int, performance: int, gpu_cores: int, **sysctls: str) -> dict[str, str]:
    """Output by command: sysctl(8), vm_stat(1) and ioreg(8) of an Apple Silicon Mac.

    Names as in Apple's "Determining system capabilities" and sysctl(3); a quarter of the memory is in use.
    """
    page, free = 16384, gib * GIB // 4 // 16384
    values = {
        "machdep.cpu.brand_string": chip,
        "kern.osproductversion": "15.1",
        "hw.memsize": str(gib * GIB),
        "hw.physicalcpu": str(cores),
        "hw.logicalcpu": str(cores),
        "hw.perflevel0.physicalcpu": str(performance),
        "hw.optional.arm.FEAT_BF16": "0" if chip == "Apple M1" else "1",
        "hw.optional.neon": "1",
        "hw.optional.AdvSIMD": "1",
        "vm.swapusage": "total = 2048.00M  used = 1024.00M  free = 1024.00M  (encrypted)",
        "iogpu.wired_limit_mb": "0",
    } | sysctls
    return {
        "sysctl": "\n".join(f"{name}: {value}" for name, value in values.items()),
        "vm_stat": f"Mach Virtual Memory Statistics: (page size of {page} bytes)\n"
        f"Pages free:                  {free}.\nPages active:                {free}.\n"
        f"Pages inactive:              {free}.\nPages speculative:           {free}.\nPages wired down: 7.\n",
        "ioreg": '+-o AGXAcceleratorG13X  <class AGXAcceleratorG13X>\n    {\n      "model" = "x"\n'
        f'      "gpu-core-count" = {gpu_cores}\n    }}\n',
    }


def io_accelerator(percent: int, used_bytes: int) -> str:
    """ioreg(8) ``-c IOAccelerator``, constructed; the keys as the AGX driver publishes them."""
    counters = {
        "In use system memory (driver)": 0, "Alloc system memory": 2 * used_bytes, "Tiler Utilization %": percent,
        "recoveryCount": 0, "Device Utilization %": percent, "In use system memory": used_bytes,
    }  # fmt: skip
    statistics = ",".join(f'"{name}"={value}' for name, value in counters.items())
    return (
        "+-o AGXAcceleratorG16G  <class AGXAcceleratorG16G, id 0x1000, registered, active, busy 0, retain 99>\n"
        f'    {{\n      "IOClass" = "AGXAcceleratorG16G"\n      "PerformanceStatistics" = {{{statistics}}}\n'
        '      "gpu-core-count" = 10\n    }\n'
    )


def pressure(level: int) -> str:
    """notifyutil(1) ``-g`` of the thermal pressure, constructed: the key and its state."""
    return f"com.apple.system.thermalpressurelevel {level}\n"


MACS = {
    "M1": mac("Apple M1", 16, 8, 4, 8),
    "M4": mac("Apple M4", 24, 10, 4, 10),
    "M4 Max": mac("Apple M4 Max", 128, 16, 12, 40),
}


def macos(answers: Mapping[str, str]) -> Sources:
    return Sources(
        root=Path("/nowhere"),
        env={},
        run=lambda command: answers.get(command[0]),
        nvml=NO_DRIVER,
        system="Darwin",
        machine="arm64",
        host="mac",
    )
