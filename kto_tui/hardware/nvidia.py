"""NVIDIA GPUs through NVML (package nvidia-ml-py). Every sensor may fail on its own.

Functions as NVIDIA's NVML API reference describes them: memory in bytes, power in milliwatts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from kto_tui.hardware.model import Gpu, GpuProcess
from kto_tui.hardware.sources import Sources, ask
from kto_tui.hardware.visible import Named, visible
from kto_tui.units import size

Answer = tuple[tuple[Gpu, ...], tuple[str, ...]]


def detect_nvidia(sources: Sources | None = None) -> Answer:
    """The GPUs a CUDA program started now would see, and notes on hidden ones and on what NVML would not say."""
    sources = sources or Sources()
    nvml = sources.nvml
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return (), ()
    except Exception as error:  # noqa: BLE001 - a broken driver fails in any way it likes and is a note
        return (), (f"NVIDIA driver does not answer ({error}); run nvidia-smi and reinstall or restart the driver",)
    try:
        return _Driver(nvml, sources.pid).answer(sources.env.get("CUDA_VISIBLE_DEVICES"), sources)
    finally:
        ask(nvml.nvmlShutdown)


class _Driver:
    """An initialised NVML."""

    def __init__(self, nvml: Any, own_pid: int) -> None:  # noqa: ANN401
        self._nvml = nvml
        self._own_pid = own_pid
        self._version = self._text("nvmlSystemGetDriverVersion")
        cuda = self._get("nvmlSystemGetCudaDriverVersion_v2")
        self._cuda = ask(lambda: f"{cuda // 1000}.{cuda % 1000 // 10}")  # 12080 is 12.8

    def _get(self, function: str, *args: Any) -> Any:  # noqa: ANN401
        return ask(lambda: getattr(self._nvml, function)(*args))

    def _text(self, function: str, *args: Any) -> str | None:  # noqa: ANN401
        value = self._get(function, *args)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def answer(self, asked: str | None, sources: Sources) -> Answer:
        """The visible GPUs and the notes; ``asked`` is the value of CUDA_VISIBLE_DEVICES."""
        count = self._get("nvmlDeviceGetCount")
        if count is None:
            return (), ("The NVIDIA driver does not list its GPUs; run nvidia-smi to see why",)
        cards, notes = [], []
        for index in range(count):
            card, note = self._card(index)
            cards.append(card)
            notes += [note] if note else []
        gpus = visible(asked, cards)
        notes += _hidden_notes(asked, [one.gpu for card in cards for one in card if one.gpu not in gpus], gpus)
        unlike = len({one.gpu.name for card in cards for one in card}) > 1
        if asked and unlike and asked[:1].isdigit() and sources.env.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            notes.append(
                "CUDA may number unlike GPUs fastest first; CUDA_DEVICE_ORDER=PCI_BUS_ID gives nvidia-smi's order"
            )
        return gpus, tuple(notes)

    def _card(self, index: int) -> tuple[list[Named], str | None]:
        """The card, or its MIG instances where it is cut into some, and what is wrong with it."""
        handle = self._get("nvmlDeviceGetHandleByIndex", index)
        if handle is None:
            return [], f"GPU {index} does not answer"
        card = self._describe(handle, index)
        mode = ask(lambda: bool(self._get("nvmlDeviceGetMigMode", handle)[0]))
        if not mode:
            card = msgspec.structs.replace(card, mig=mode)
            return [Named(card, (card.uuid,) if card.uuid else ())], None
        found: list[Named] = []
        for number in range(self._get("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
            instance = self._get("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
            if instance is not None:  # slots may be empty
                found.append(self._instance(instance, card, first=not found))
        return found, None if found else f"GPU {index} is in MIG mode without instances: create one with nvidia-smi mig"

    def _instance(self, handle: Any, card: Gpu, *, first: bool) -> Named:  # noqa: ANN401
        gpu = self._describe(handle, card.index, f"{card.name} MIG")
        gpu = msgspec.structs.replace(
            gpu,
            mig=True,
            capability=gpu.capability or card.capability,
            temperature_celsius=card.temperature_celsius,
            power_watts=None,  # the whole card's, if anything
            power_limit_watts=None,
        )
        places = [self._get(f"nvmlDeviceGet{part}InstanceId", handle) for part in ("Gpu", "Compute")]
        old = f"MIG-{card.uuid}/{places[0]}/{places[1]}" if card.uuid and None not in places else None
        # The card's own identifier, like its index, stands for its first instance.
        return Named(gpu, tuple(name for name in (gpu.uuid, old, card.uuid if first else None) if name))

    def _describe(self, handle: Any, index: int, name: str | None = None) -> Gpu:  # noqa: ANN401
        memory = self._get("nvmlDeviceGetMemoryInfo", handle)
        capability = self._get("nvmlDeviceGetCudaComputeCapability", handle)
        sensor = ask(lambda: self._nvml.NVML_TEMPERATURE_GPU)
        watts = (self._get(f"nvmlDeviceGet{what}", handle) for what in ("PowerUsage", "EnforcedPowerLimit"))
        draw, limit = (None if value is None else value / 1000 for value in watts)
        return Gpu(
            index=index,
            name=self._text("nvmlDeviceGetName", handle) or name or f"GPU {index}",
            kind="cuda",
            total_bytes=ask(lambda: int(memory.total)),
            free_bytes=ask(lambda: int(memory.free)),
            capability=ask(lambda: (int(capability[0]), int(capability[1]))),
            driver=self._version,
            cuda=self._cuda,
            uuid=self._text("nvmlDeviceGetUUID", handle),
            temperature_celsius=self._get("nvmlDeviceGetTemperature", handle, sensor),
            power_watts=draw,
            power_limit_watts=limit,
            utilization_percent=ask(lambda: int(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            others=ask(lambda: self._others(handle)),
        )

    def _others(self, handle: Any) -> tuple[GpuProcess, ...] | None:  # noqa: ANN401
        """Other programs by name with the memory they hold; None where the driver lists no processes."""
        lists = [self._get(f"nvmlDeviceGet{kind}RunningProcesses", handle) for kind in ("Compute", "Graphics")]
        if all(found is None for found in lists):
            return None
        # A program that computes and draws is in both lists. The driver may know a process without its memory.
        held = {one.pid: one.usedGpuMemory for found in lists for one in found or () if one.pid != self._own_pid}
        by_name: dict[str | None, list[int | None]] = {}
        for pid, used in held.items():
            path = self._text("nvmlSystemGetProcessName", pid)
            by_name.setdefault(path.split()[0].rsplit("/", 1)[-1] if path and path.strip() else None, []).append(used)
        sums = [(name, None if None in used else sum(filter(None, used))) for name, used in by_name.items()]
        return tuple(GpuProcess(name, used) for name, used in sorted(sums, key=lambda one: -(one[1] or 0)))


def _hidden_notes(asked: str | None, hidden: Sequence[Gpu], gpus: Sequence[Gpu]) -> list[str]:
    """Why GPUs that are there do not count, and how to make them count."""
    if not hidden:
        return []
    if gpus and gpus[0].mig:
        choices = ", ".join(f"{gpu.uuid or gpu.name} ({size(gpu.total_bytes)})" for gpu in hidden)
        return [f"CUDA uses one MIG instance at a time; to use another set CUDA_VISIBLE_DEVICES to one of {choices}"]
    names = ", ".join(f"GPU {gpu.index} {gpu.name}" for gpu in hidden)
    return [f"CUDA_VISIBLE_DEVICES={asked} hides {names}"]
