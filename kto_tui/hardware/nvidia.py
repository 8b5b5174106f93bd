"""NVIDIA GPUs through NVML (package nvidia-ml-py). Every sensor may fail on its own."""

from collections.abc import Callable
from typing import Any, TypeVar

from kto_tui.hardware.model import Gpu

Value = TypeVar("Value")


def _ask(sensor: Callable[[], Value], nvml: Any) -> Value | None:  # noqa: ANN401
    """A sensor's answer, or None where NVML says it has none (laptops, MIG slices, virtual GPUs)."""
    try:
        return sensor()
    except (nvml.NVMLError, UnicodeDecodeError):
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def detect_nvidia(nvml: Any = None) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:  # noqa: ANN401
    """The GPUs NVML lists and notes about what it would not say.

    Args:
        nvml: a module with NVML's functions; the real ``pynvml`` unless a test passes constructed answers.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return (), ()
    except nvml.NVMLError as error:
        return (), (f"NVIDIA driver does not answer ({error}); run nvidia-smi and reinstall or restart the driver",)
    try:
        count = _ask(nvml.nvmlDeviceGetCount, nvml)
        driver = _text(_ask(nvml.nvmlSystemGetDriverVersion, nvml))
        found = [_describe(index, driver, nvml) for index in range(count or 0)]
    finally:
        _ask(nvml.nvmlShutdown, nvml)
    if count is None:
        return (), ("The NVIDIA driver does not list its GPUs; run nvidia-smi to see why",)
    gpus = tuple(gpu for gpu in found if gpu is not None)
    notes = tuple(f"GPU {i} does not answer" for i, gpu in enumerate(found) if gpu is None)
    return gpus, notes


def _describe(index: int, driver: str | None, nvml: Any) -> Gpu | None:  # noqa: ANN401
    handle = _ask(lambda: nvml.nvmlDeviceGetHandleByIndex(index), nvml)
    if handle is None:
        return None
    memory = _ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle), nvml)
    capability = _ask(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle), nvml)
    return Gpu(
        index=index,
        name=_text(_ask(lambda: nvml.nvmlDeviceGetName(handle), nvml)) or f"GPU {index}",
        kind="cuda",
        total_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        capability=None if capability is None else (int(capability[0]), int(capability[1])),
        driver=driver,
        temperature_celsius=_ask(lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)), nvml),
    )
