"""Whole machines through ``detect``: NVIDIA, Apple, AMD, a laptop, a container, and this one."""

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hardware import Hardware, detect
from kto_tui.hardware.apple import estimated_working_set
from kto_tui.hardware.facts import hardware_rows
from kto_tui.hardware.sources import in_background, run_command
from tests.hardware.answers import (
    CARDS,
    GIB,
    H100,
    LAPTOP,
    MACS,
    MIB,
    RTX_3060,
    RTX_3090,
    T4,
    DriverNotLoadedError,
    card,
    linux,
    mac,
    macos,
    nvml,
    process,
    refuse,
    with_nvml,
)


def facts(hardware: Hardware) -> str:
    return "\n".join(f"{name:6} {fact}" for name, fact in hardware_rows(hardware))


@pytest.mark.parametrize(("name", "precision"), [(name, "fp16" if name == "T4" else "bf16") for name in CARDS])
def test_a_machine_with_one_nvidia_gpu(name: str, precision: str, tmp_path: Path) -> None:
    here = detect(linux(tmp_path, LAPTOP, nvml(CARDS[name])))
    assert (here.device, here.accelerator, here.precision) == ("cuda", "cuda", precision)
    assert here.free_training_bytes == CARDS[name].free
    assert here.planned_as is None
    assert here.notes == ()
    assert "driver 570.86.15 · CUDA 12.8" in facts(here)
    assert "unknown" not in facts(here)


def test_of_two_gpus_training_takes_the_one_with_more_memory_free(tmp_path: Path) -> None:
    busy = card("NVIDIA H100 80GB HBM3", (9, 0), 81559, 300)
    here = detect(linux(tmp_path, LAPTOP, nvml(busy, T4)))
    assert [gpu.index for gpu in here.gpus] == [0, 1]
    assert here.training_gpu == here.gpus[1]
    assert here.precision == "fp16"


def test_hidden_gpus_do_not_count_and_are_told(tmp_path: Path) -> None:
    here = detect(linux(tmp_path, LAPTOP, nvml(RTX_3060, RTX_3090), CUDA_VISIBLE_DEVICES="0"))
    assert here.training_gpu is not None
    assert here.training_gpu.name == "NVIDIA GeForce RTX 3060"
    assert "GPU 1 NVIDIA GeForce RTX 3090" in here.notes[0]
    hidden = detect(linux(tmp_path, LAPTOP, nvml(RTX_3060, RTX_3090), CUDA_VISIBLE_DEVICES=""))
    assert (hidden.device, hidden.gpus) == ("cpu", ())


def test_a_gpu_that_says_nothing_is_shown_with_unknown_figures(tmp_path: Path) -> None:
    silent = {name: refuse() for name in vars(nvml(T4)) if name.startswith(("nvmlDeviceGet", "nvmlSystem"))}
    for needed in ("nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"):
        del silent[needed]
    here = detect(linux(tmp_path, LAPTOP, nvml(T4, **silent)))
    assert here.free_training_bytes is None
    shown = facts(here)
    assert "unknown, unknown free" in shown
    assert "unknown: compute capability, temperature, load, power, driver, CUDA" in shown
    assert not re.search(r"(?<![\d.])0(\.0)? (KiB|GiB|W|°C|%)", shown)


def test_what_other_programs_hold_is_shown(tmp_path: Path) -> None:
    held = [process(5, "/usr/lib/xorg/Xorg", 614), process(6, "firefox", 200), process(8, "mpv", 100)]
    here = detect(linux(tmp_path, LAPTOP, nvml(card("NVIDIA GeForce RTX 3070", (8, 6), 8192, 7000, graphics=held))))
    assert "8.0 GiB, 6.8 GiB free (Xorg 614 MiB, firefox 200 MiB ...)" in facts(here)


def test_a_broken_driver_leaves_the_processor(tmp_path: Path) -> None:
    here = detect(linux(tmp_path, LAPTOP, nvml(H100, nvmlInit=refuse(DriverNotLoadedError))))
    assert (here.device, here.precision) == ("cpu", "fp32")
    assert "Driver Not Loaded" in here.notes[0]


def test_a_laptop_without_a_gpu(tmp_path: Path) -> None:
    here = detect(linux(tmp_path, LAPTOP))
    assert (here.device, here.gpus, here.free_training_bytes) == ("cpu", (), 12 * GIB)
    assert "Intel Core i5-7200U · 2 cores, 4 threads" in facts(here)
    assert "16.0 GiB, 12.0 GiB free · swap 2.0 GiB, 1.0 GiB free" in facts(here)


def test_a_container_of_4_gib_and_one_and_a_half_cores(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{1 * GIB}\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        ".dockerenv": "",
    }
    here = detect(linux(tmp_path, LAPTOP | files))
    assert (here.container, here.free_training_bytes, here.cpu.usable_cores) == ("docker", 3 * GIB, 2)
    assert "2 of 4 threads (container limit)" in facts(here)
    assert "4.0 GiB, 3.0 GiB free (container limit)" in facts(here)


@pytest.mark.parametrize(
    ("name", "gib", "gpu_cores", "performance", "bf16", "about"),
    [("M1", 16, 8, 4, False, "10.7"), ("M4", 24, 10, 4, True, "16.0"), ("M4 Max", 128, 40, 12, True, "96.0")],
)
def test_apple_silicon(name: str, gib: int, gpu_cores: int, performance: int, bf16: bool, about: str) -> None:
    here = detect(macos(MACS[name]))
    (gpu,) = here.gpus
    assert (here.device, here.accelerator, here.precision, here.system) == ("mps", "mps", "fp32", "macOS 15.1")
    assert (gpu.name, gpu.kind, gpu.unified, gpu.cores) == (f"Apple {name}", "apple", True, gpu_cores)
    assert (gpu.total_bytes, here.memory.total_bytes) == (gib * GIB, gib * GIB)
    assert here.memory.available_bytes == 3 * gib * GIB // 4
    assert gpu.working_set_bytes is None  # 0 lets macOS decide, which cannot be read without Metal
    assert here.free_training_bytes == gpu.working_set_estimate_bytes
    assert (here.cpu.performance_cores, here.cpu.bf16, here.cpu.neon) == (performance, bf16, True)
    assert (here.cpu.avx512, here.cpu.amx) == (False, False)
    assert (here.memory.swap_total_bytes, here.memory.swap_free_bytes) == (2 * GIB, 1 * GIB)
    assert f"{gpu_cores} GPU cores" in facts(here)
    assert f"Metal limit about {about} GiB" in facts(here)


def test_a_wired_limit_that_the_owner_set_bounds_what_is_free() -> None:
    here = detect(macos(mac("Apple M4", 24, 10, 4, 10, **{"iogpu.wired_limit_mb": "12288"})))
    assert here.gpus[0].working_set_bytes == here.free_training_bytes == 12 * GIB
    assert here.gpus[0].working_set_estimate_bytes is None
    assert "Metal limit 12.0 GiB" in facts(here)


# What programs printed as Metal's recommendation, in GiB, on Macs of so much memory; the sources stand at the shares.
RECOMMENDED = {
    "15.6": {16: 10.67, 32: 21.33, 36: 27.0, 64: 48.0, 96: 72.0},
    "26.1": {16: 11.84, 18: 13.32, 24: 17.76, 32: 24.96, 36: 28.08, 48: 37.44, 64: 51.84, 128: 107.52},
}


@pytest.mark.parametrize(("macos", "known"), RECOMMENDED.items())
def test_the_estimated_working_set_is_what_macs_report(macos: str, known: dict[int, float]) -> None:
    for gib, reported in known.items():
        assert estimated_working_set(gib * GIB, macos) == pytest.approx(reported * GIB, abs=0.01 * GIB)


@given(st.integers(1, 1024 * GIB), st.none() | st.text(max_size=8) | st.just("26.1"))
def test_the_estimated_working_set_is_a_part_of_the_memory(total: int, macos: str | None) -> None:
    estimate = estimated_working_set(total, macos)
    older = estimated_working_set(total, None)
    assert estimate is not None
    assert older is not None
    assert older <= estimate < total


def test_what_other_programs_hold_is_not_free_on_a_mac() -> None:
    answers = mac("Apple M4", 24, 10, 4, 10, **{"kern.osproductversion": "26.1"})
    assert detect(macos(answers)).free_training_bytes == int(24 * GIB * 0.74)
    busy = detect(macos(answers | {"vm_stat": mac("Apple M4", 8, 10, 4, 10)["vm_stat"]}))
    assert busy.free_training_bytes == busy.memory.available_bytes == 6 * GIB


@pytest.mark.parametrize("lost", ["sysctl", "vm_stat", "ioreg"])
def test_a_mac_whose_commands_fail_still_lists_its_gpu(lost: str) -> None:
    here = detect(macos({name: text for name, text in MACS["M4"].items() if name != lost}))
    (gpu,) = here.gpus
    assert (gpu.total_bytes is None, gpu.free_bytes is None, gpu.cores is None) == (
        lost == "sysctl", lost == "vm_stat", lost == "ioreg",
    )  # fmt: skip
    assert "unknown" in facts(here)


def test_an_intel_mac_has_no_gpu_to_train_on() -> None:
    here = detect(replace(macos(mac("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", 16, 6, 6, 0)), machine="x86_64"))
    assert (here.device, here.gpus) == ("cpu", ())


@pytest.fixture
def amd(tmp_path: Path) -> Path:
    """A discrete card, then a processor's graphics, and the compute driver's list of them.

    Linux kernel, Documentation/gpu/amdgpu/driver-misc (mem_info_vram_total, mem_info_vram_used, unique_id,
    product_name) and gpu/amdgpu/thermal (hwmon, gpu_busy_percent); AMD's KFD topology under /sys/class/kfd.
    """
    big, small = "sys/class/drm/card0/device", "sys/class/drm/card1/device"
    linux(
        tmp_path,
        LAPTOP
        | {
            f"{big}/vendor": "0x1002\n",
            f"{big}/mem_info_vram_total": f"{24 * GIB}\n",
            f"{big}/mem_info_vram_used": f"{1 * GIB}\n",
            f"{big}/unique_id": "deadbeefdeadbeef\n",
            f"{big}/gpu_busy_percent": "3\n",
            f"{big}/hwmon/hwmon4/temp1_input": "45000\n",
            f"{big}/hwmon/hwmon4/power1_average": "21000000\n",
            f"{big}/hwmon/hwmon4/power1_cap": "315000000\n",
            f"{big}/drm/renderD128/dev": "226:128\n",
            f"{small}/vendor": "0x1002\n",
            f"{small}/mem_info_vram_total": f"{512 * MIB}\n",
            f"{small}/mem_info_vram_used": f"{100 * MIB}\n",
            f"{small}/drm/renderD129/dev": "226:129\n",
            "sys/class/drm/card0-DP-1/status": "connected\n",
            "sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 16\nsimd_count 0\ndrm_render_minor 0\n",
            "sys/class/kfd/kfd/topology/nodes/1/properties": "drm_render_minor 128\ngfx_target_version 110000\n",
            "sys/class/kfd/kfd/topology/nodes/2/properties": "drm_render_minor 129\ngfx_target_version 100306\n",
        },
    )
    return tmp_path


def test_amd(amd: Path) -> None:
    here = detect(linux(amd, {}))
    (gpu,) = here.gpus
    assert (here.device, here.accelerator, here.precision) == ("cuda", "rocm", "bf16")
    assert (gpu.kind, gpu.name, gpu.architecture, gpu.uuid) == (
        "rocm", "AMD GPU gfx1100", "gfx1100", "GPU-deadbeefdeadbeef",
    )  # fmt: skip
    assert (gpu.total_bytes, gpu.free_bytes, gpu.temperature_celsius) == (24 * GIB, 23 * GIB, 45)
    assert (gpu.power_watts, gpu.power_limit_watts, gpu.utilization_percent) == (21.0, 315.0, 3)
    assert any("gfx1036 has 512 MiB" in note for note in here.notes)
    assert any("ROCm build of PyTorch" in note for note in here.notes)


@pytest.mark.parametrize(
    "variable",
    [{"HIP_VISIBLE_DEVICES": "-1"}, {"ROCR_VISIBLE_DEVICES": "GPU-0123"}, {"CUDA_VISIBLE_DEVICES": ""}],
)
def test_amd_hidden(amd: Path, variable: dict[str, str]) -> None:
    """ROCm documentation, GPU isolation techniques."""
    here = detect(linux(amd, {}, **variable))
    assert (here.device, here.gpus) == ("cpu", ())
    assert any(next(iter(variable)) in note for note in here.notes)


@pytest.mark.parametrize(
    "lost", ["mem_info_vram_total", "mem_info_vram_used", "unique_id", "gpu_busy_percent", "hwmon/hwmon4/temp1_input"]
)
def test_an_amd_sensor_that_is_missing_is_unknown(amd: Path, lost: str) -> None:
    (amd / "sys/class/drm/card0/device" / lost).unlink()
    (gpu,) = detect(linux(amd, {})).gpus
    feeds = {
        "total": {"total_bytes", "free_bytes"},
        "used": {"free_bytes"},
        "unique": {"uuid"},
        "gpu": {"utilization_percent"},
        "temp1": {"temperature_celsius"},
    }
    unknown = next(fields for word, fields in feeds.items() if word in lost)
    for field in set().union(*feeds.values()):
        assert (getattr(gpu, field) is None) == (field in unknown)


def test_an_amd_gpu_the_compute_driver_does_not_offer_is_a_note(amd: Path) -> None:
    (amd / "sys/class/kfd/kfd/topology/nodes/1/properties").unlink()
    here = detect(linux(amd, {}))
    assert here.gpus == ()
    assert any("not offered for compute" in note for note in here.notes)


def test_nvidia_goes_before_amd_because_the_usual_torch_knows_only_it(amd: Path) -> None:
    here = detect(linux(amd, {}, nvml(CARDS["3070"])))
    assert here.accelerator == "cuda"
    assert len(here.gpus) == 2


SURROUNDINGS = {
    "docker": ({".dockerenv": ""}, {}, {"container": "docker"}),
    "podman": ({"run/.containerenv": "", "run/systemd/container": "podman"}, {}, {"container": "podman"}),
    "kubernetes": ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"container": "kubernetes"}),
    "lxc": ({"run/systemd/container": "lxc\n"}, {}, {"container": "lxc"}),
    "lxc by its variable": ({}, {"container": "lxc"}, {"container": "lxc"}),
    "docker by its group": ({"proc/self/cgroup": "4:memory:/docker/ab\n"}, {}, {"container": "docker"}),
    "wsl 2": (
        {"proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n", "run/systemd/container": "wsl"},
        {},
        {"wsl": 2},
    ),
    "wsl 1": ({"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}, {}, {"wsl": 1}),
    "ssh": ({}, {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}, {"over_ssh": True}),
    "ssh in tmux": ({}, {"SSH_TTY": "/dev/pts/0", "TMUX": "/tmp/x,1,0"}, {"over_ssh": True, "multiplexer": "tmux"}),
    "screen": ({}, {"STY": "1234.pts-0.host"}, {"multiplexer": "screen"}),
    "nothing": ({}, {"TMUX": ""}, {}),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings(name: str, tmp_path: Path) -> None:
    """systemd's container interface, Kubernetes' environment of a container, tmux(1), screen(1), sshd(8)."""
    files, env, expected = SURROUNDINGS[name]
    here = detect(linux(tmp_path, LAPTOP | files, **env))
    found = {key: getattr(here, key) for key in ("container", "wsl", "over_ssh", "multiplexer")}
    assert found == {"container": None, "wsl": None, "over_ssh": False, "multiplexer": None} | expected
    shown = facts(here).splitlines()[0]
    assert all(str(value) in shown for key, value in expected.items() if key != "over_ssh")


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_driver_that_hangs_is_left_behind_with_a_note(tmp_path: Path, release: threading.Event) -> None:
    begin = time.monotonic()
    here = detect(linux(tmp_path, LAPTOP, nvml(T4, nvmlInit=release.wait)), nvml_seconds=0.1)
    assert time.monotonic() - begin < 5
    assert here.device == "cpu"
    assert "has not answered" in here.notes[0]


def test_a_command_that_hangs_or_is_missing_is_no_answer() -> None:
    assert run_command(["sleep", "60"], seconds=0.1) is None
    assert run_command(["no-such-command-here"]) is None
    assert run_command(["sh", "-c", "echo one; exit 1"]) == "one"


def test_a_sensor_that_fails_in_the_background_is_unknown() -> None:
    assert in_background(refuse(ZeroDivisionError))(5) is None
    assert in_background(lambda: 3)(5) == 3


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


@pytest.mark.parametrize("bf16", [True, False, None])
def test_precision_of_a_processor(bf16: bool | None, tmp_path: Path) -> None:
    here = detect(linux(tmp_path, LAPTOP))
    here = msgspec.structs.replace(here, cpu=msgspec.structs.replace(here.cpu, bf16=bf16))
    assert here.precision == ("bf16" if bf16 else "fp32")


def test_facts_survive_json(amd: Path) -> None:
    for here in (detect(), detect(macos(MACS["M4"])), detect(linux(amd, {}, nvml(T4))), detect(with_nvml(nvml(H100)))):
        assert msgspec.json.decode(msgspec.json.encode(here), type=Hardware) == here
