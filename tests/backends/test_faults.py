"""What exceptions of the real libraries, and texts they are known to give, are taken for."""

import errno

import pytest
import torch
from safetensors import SafetensorError

from kto_tui.backends.faults import is_disk_full, is_gpu_lost, is_out_of_memory, write_failure
from kto_tui.errors import UserError

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
        RuntimeError("[malloc] Unable to allocate 68719476736 bytes."),
        RuntimeError(
            "[metal::malloc] Attempting to allocate 20 bytes which is greater than the maximum allowed buffer"
        ),
        RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBuffer...)"),
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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (FULL_DISK, str(FULL_DISK)),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "the disk did not take all of it"),
        (RuntimeError("[enforce fail at inline_container.cc:672]"), "the disk did not take all of it"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("No space left on device"), None),
    ],
)
def test_why_a_file_could_not_be_written(error: BaseException, words: str | None) -> None:
    assert write_failure(error) == words
