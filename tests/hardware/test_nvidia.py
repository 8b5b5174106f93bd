"""NVIDIA GPUs on constructed NVML answers (see answers.py for the documentation they follow)."""

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hardware.model import Gpu, GpuProcess
from kto_tui.hardware.nvidia import detect_nvidia
from tests.hardware.answers import (
    A100,
    CARDS,
    H100,
    MIB,
    MIG_A100,
    MIG_UUIDS,
    NO_DRIVER,
    RTX_3060,
    RTX_3070,
    RTX_3090,
    T4,
    DriverNotLoadedError,
    NotSupportedError,
    NvmlError,
    card,
    nvml,
    process,
    refuse,
    with_nvml,
)


@pytest.mark.parametrize("name", CARDS)
def test_every_fact_of_one_gpu(name: str) -> None:
    spec = CARDS[name]
    gpus, notes = detect_nvidia(with_nvml(nvml(spec)))
    assert notes == ()
    assert gpus == (
        Gpu(
            index=0,
            name=spec.name.decode() if isinstance(spec.name, bytes) else spec.name,
            kind="cuda",
            total_bytes=spec.total,
            free_bytes=spec.free,
            capability=spec.capability,
            driver="570.86.15",
            cuda="12.8",
            uuid=spec.uuid,
            mig=False,
            temperature_celsius=41,
            power_watts=32.4,
            power_limit_watts=spec.watts,
            utilization_percent=0,
            others=(),
        ),
    )


def test_memory_of_other_programs_is_summed_by_name_without_our_own() -> None:
    ours, python = process(1, "/usr/bin/python3", 500), process(7, "/usr/bin/python3", 900)
    both, firefox = process(8, "/opt/a/firefox --x", 200), process(9, "/opt/a/firefox", 100)
    graphics = [process(5, "/usr/lib/xorg/Xorg", 600), both, firefox]
    spec = card("NVIDIA GeForce RTX 3070", (8, 6), 8192, 5000, compute=[ours, python, both], graphics=graphics)
    (gpu,), _ = detect_nvidia(with_nvml(nvml(spec)))
    assert gpu.others == (
        GpuProcess("python3", 900 * MIB),
        GpuProcess("Xorg", 600 * MIB),
        GpuProcess("firefox", 300 * MIB),
    )


def test_a_program_whose_memory_or_name_is_unknown_stays_unknown() -> None:
    spec = card(
        "Tesla T4", (7, 5), 15360, 14000, compute=[process(5, "a", None), process(6, "a", 10), process(7, "b", 3)]
    )
    (gpu,), _ = detect_nvidia(with_nvml(nvml(spec)))
    assert gpu.others == (GpuProcess("b", 3 * MIB), GpuProcess("a", None))
    (gpu,), _ = detect_nvidia(with_nvml(nvml(spec, nvmlSystemGetProcessName=refuse())))
    assert {one.name for one in gpu.others or ()} == {None}


# What each NVML function feeds; when it fails these are None (the name falls back to the index).
FEEDS = {
    "nvmlSystemGetDriverVersion": {"driver"},
    "nvmlSystemGetCudaDriverVersion_v2": {"cuda"},
    "nvmlDeviceGetName": set(),
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetMemoryInfo": {"total_bytes", "free_bytes"},
    "nvmlDeviceGetCudaComputeCapability": {"capability"},
    "nvmlDeviceGetTemperature": {"temperature_celsius"},
    "nvmlDeviceGetPowerUsage": {"power_watts"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts"},
    "nvmlDeviceGetUtilizationRates": {"utilization_percent"},
    "nvmlDeviceGetMigMode": {"mig"},
    "nvmlSystemGetProcessName": set(),
    "nvmlShutdown": set(),
}
ERRORS = st.sampled_from([NotSupportedError, NvmlError, OSError, ValueError, AttributeError, TypeError])


@given(st.dictionaries(st.sampled_from(sorted(FEEDS)), ERRORS))
def test_any_sensors_may_fail_and_leave_only_their_own_facts_unknown(failing: dict[str, type[Exception]]) -> None:
    spec = card("Tesla T4", (7, 5), 15360, 14000, compute=[process(5, "python3", 500)])
    whole = detect_nvidia(with_nvml(nvml(spec)))[0][0]
    (gpu,), notes = detect_nvidia(with_nvml(nvml(spec, **{name: refuse(error) for name, error in failing.items()})))
    unknown = set().union(*(FEEDS[name] for name in failing))
    for field in Gpu.__struct_fields__:
        expected = None if field in unknown else getattr(whole, field)
        if field == "name" and "nvmlDeviceGetName" in failing:
            expected = "GPU 0"
        if field == "others" and "nvmlSystemGetProcessName" in failing:
            expected = (GpuProcess(None, 500 * MIB),)
        assert getattr(gpu, field) == expected, field
    assert notes == ()


@pytest.mark.parametrize("names", [{"Compute"}, {"Graphics"}, {"Compute", "Graphics"}])
def test_processes_are_unknown_only_when_neither_list_is_there(names: set[str]) -> None:
    silent = {f"nvmlDeviceGet{name}RunningProcesses": refuse() for name in names}
    (gpu,), _ = detect_nvidia(with_nvml(nvml(T4, **silent)))
    assert gpu.others == (None if len(names) == 2 else ())


@pytest.mark.parametrize("error", [DriverNotLoadedError, NvmlError, OSError])
def test_a_broken_driver_is_a_note(error: type[Exception]) -> None:
    gpus, (note,) = detect_nvidia(with_nvml(nvml(T4, nvmlInit=refuse(error))))
    assert gpus == ()
    assert str(error()) in note
    assert "nvidia-smi" in note


def test_the_constructed_functions_are_those_of_the_real_module() -> None:
    missing = {name for name in vars(nvml()) if not hasattr(pynvml, name)}
    assert missing == set()
    assert issubclass(pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError)


def test_no_driver_library_is_no_news() -> None:
    assert detect_nvidia(with_nvml(NO_DRIVER)) == ((), ())


def test_a_driver_without_gpus() -> None:
    assert detect_nvidia(with_nvml(nvml())) == ((), ())


def test_a_driver_that_cannot_count_is_a_note() -> None:
    gpus, notes = detect_nvidia(with_nvml(nvml(T4, nvmlDeviceGetCount=refuse())))
    assert gpus == ()
    assert "does not list its GPUs" in notes[0]


def test_a_lost_gpu_is_a_note_and_the_other_keeps_its_number() -> None:
    def handle(index: int) -> object:
        if index == 0:
            raise NvmlError
        return RTX_3070

    gpus, notes = detect_nvidia(with_nvml(nvml(T4, RTX_3070, nvmlDeviceGetHandleByIndex=handle)))
    assert [(gpu.index, gpu.name) for gpu in gpus] == [(1, "NVIDIA GeForce RTX 3070")]
    assert notes == ("GPU 0 does not answer",)


def test_mig_instances_are_the_devices_and_cuda_takes_the_first() -> None:
    """MIG user guide, device enumeration: CUDA enumerates one instance, and no whole GPU beside it."""
    gpus, (note,) = detect_nvidia(with_nvml(nvml(T4, MIG_A100)))
    (gpu,) = gpus
    assert (gpu.name, gpu.mig, gpu.uuid, gpu.index) == ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", True, MIG_UUIDS[0], 1)
    assert (gpu.total_bytes, gpu.capability, gpu.temperature_celsius) == (40192 * MIB, (8, 0), 41)
    assert (gpu.power_watts, gpu.power_limit_watts, gpu.utilization_percent) == (None, None, None)
    assert MIG_UUIDS[1] in note
    assert "CUDA_VISIBLE_DEVICES" in note


def test_mig_mode_without_instances_says_what_to_do() -> None:
    empty = card("NVIDIA A100-SXM4-80GB", (8, 0), 81920, 81000, instances=[None] * 7)
    gpus, (note,) = detect_nvidia(with_nvml(nvml(empty)))
    assert gpus == ()
    assert "GPU 0 is in MIG mode without instances" in note


UUIDS = [RTX_3070.uuid, RTX_3060.uuid, RTX_3090.uuid]
PLAIN = {
    "0": [0],
    "2,0": [2, 0],
    " 1 , 2 ": [1, 2],
    "": [],
    "-1": [],
    "0,2,-1,1": [0, 2],
    "7": [],
    "0,7,1": [0],
    "0,0": [],
    UUIDS[1]: [1],
    "GPU-8932f937": [0],
    f"{UUIDS[2]},{UUIDS[0]}": [2, 0],
    "GPU-": [],
    "GPU-999": [],
    "1,GPU-8932": [1, 0],
    "all": [],
    "²": [],
}


@pytest.mark.parametrize("asked", PLAIN)
def test_cuda_visible_devices_by_index_and_uuid(asked: str) -> None:
    """CUDA programming guide, CUDA_VISIBLE_DEVICES: order counts, the first invalid one hides the rest."""
    module = nvml(RTX_3070, RTX_3060, RTX_3090)
    gpus, notes = detect_nvidia(with_nvml(module, CUDA_VISIBLE_DEVICES=asked, CUDA_DEVICE_ORDER="PCI_BUS_ID"))
    assert [gpu.index for gpu in gpus] == PLAIN[asked]
    hidden = {0, 1, 2} - set(PLAIN[asked])
    assert len(notes) == bool(hidden)
    assert all(f"GPU {index}" in notes[0] for index in hidden)


MIG = {
    "0": [MIG_UUIDS[0]],
    MIG_UUIDS[1]: [MIG_UUIDS[1]],
    "MIG-bbbb": [MIG_UUIDS[1]],
    f"MIG-{MIG_A100.uuid}/9/0": [MIG_UUIDS[1]],
    f"MIG-{MIG_A100.uuid}/4/0": [],
    MIG_A100.uuid: [MIG_UUIDS[0]],
    f"{MIG_UUIDS[1]},{MIG_UUIDS[0]}": [MIG_UUIDS[1]],
    "MIG-": [],
    "": [],
}


@pytest.mark.parametrize("asked", MIG)
def test_cuda_visible_devices_of_mig_instances(asked: str) -> None:
    """CUDA programming guide: MIG-<uuid>, and MIG-<GPU uuid>/<GPU instance>/<compute instance> of older drivers."""
    gpus, _ = detect_nvidia(with_nvml(nvml(MIG_A100), CUDA_VISIBLE_DEVICES=asked))
    assert [gpu.uuid for gpu in gpus] == MIG[asked]


def test_numbers_of_unlike_gpus_are_said_to_depend_on_the_order() -> None:
    notes = detect_nvidia(with_nvml(nvml(T4, H100), CUDA_VISIBLE_DEVICES="0,1"))[1]
    assert any("CUDA_DEVICE_ORDER" in note for note in notes)
    assert detect_nvidia(with_nvml(nvml(A100, A100), CUDA_VISIBLE_DEVICES="0,1"))[1] == ()
