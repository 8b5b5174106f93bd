"""What exceptions of the real libraries, and texts they are known to give, are taken for."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from kto_tui.backends.base import Job
from kto_tui.backends.faults import TrainingError, is_disk_full, is_gpu_lost, is_out_of_memory
from kto_tui.backends.hf.adapter import save_adapter
from kto_tui.backends.hf.model import room_for
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AdapterSaved, AnyEvent
from kto_tui.runs.folder import RunFolder

FULL_DISK = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def real_allocation() -> BaseException:
    try:
        torch.empty(10**14)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has 400 TB of memory")


@pytest.mark.parametrize(
    "error",
    [
        real_allocation(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_lack_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_disk_full(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EROFS, "Read-only file system"),
        FULL_DISK,
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_disk_that_takes_no_more(error: BaseException) -> None:
    assert is_disk_full(error)
    assert not is_out_of_memory(error)
    assert not is_gpu_lost(error)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: unspecified launch failure",
        "CUDA error: device-side assert triggered",
        "CUDA error: unknown error",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: GPU has fallen off the bus",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "HIP error: the operation cannot be performed in the present state",
    ],
)
def test_a_gpu_that_is_lost(text: str) -> None:
    assert is_gpu_lost(RuntimeError(text))
    assert is_gpu_lost(torch.AcceleratorError(text))
    assert not is_out_of_memory(RuntimeError(text))


def test_a_lost_gpu_as_nvml_says_it() -> None:
    class NVMLError_GpuIsLost(Exception):  # noqa: N801, N818 - as pynvml makes it
        pass

    assert is_gpu_lost(NVMLError_GpuIsLost("GPU is lost"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        OSError(errno.ENOENT, "No such file or directory"),
        ValueError("out of memory"),
        UserError("The disk has no space left on device", mend="Free it"),
    ],
)
def test_other_errors_are_taken_for_none_of_them(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    assert not is_disk_full(error)
    assert not is_gpu_lost(error)


def test_a_model_that_memory_does_not_hold_is_no_matter_of_smaller_batches() -> None:
    with pytest.raises(TrainingError) as caught, room_for("some/model"):
        torch.empty(10**14)
    assert caught.value.cause == "out_of_memory"
    assert "some/model" in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"), room_for("some/model"):
        raise RuntimeError("shapes")


class Saves:
    """Stands in for a model and a tokenizer, which write a file each."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def save_pretrained(self, folder: Path, **_: Any) -> None:
        (folder / f"{id(self)}.bin").write_bytes(b"weights")
        if self._error is not None:
            raise self._error


def job(folder: Path, told: list[AnyEvent]) -> Job:
    return Job(RunFolder(folder), RunConfig(model="m", data="d", recipe=Recipe()), told.append, lambda: None)


@pytest.mark.parametrize("error", [FULL_DISK, OSError(errno.ENOSPC, "No space left on device")])
def test_an_adapter_that_finds_no_room_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, error: BaseException
) -> None:
    told = list[AnyEvent]()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "old.bin").touch()
    tokenizer: Any = Saves()
    with pytest.raises(TrainingError, match="checkpoints are kept") as caught:
        save_adapter(Saves(error), tokenizer, job(tmp_path, told), base=tmp_path, steps=3)
    assert caught.value.cause == "disk_full"
    assert [path.name for path in tmp_path.rglob("*")] == ["adapter", "old.bin"]
    save_adapter(Saves(), tokenizer, job(tmp_path, told), base=tmp_path, steps=3)
    assert [type(event) for event in told] == [AdapterSaved]
    assert not (tmp_path / "adapter" / "old.bin").exists()
    assert not list(tmp_path.glob(".adapter*"))
