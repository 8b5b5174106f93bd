"""What an exception of the training libraries proves, told by its type's name and its text: no library is imported."""

import errno

from kto_tui.errors import UserError
from kto_tui.runs.events import Cause

_DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
# safetensors gives the system's error as text, PyTorch's writer where it got stuck.
_DISK_WORDS = (
    "no space left on device", "disk quota exceeded", "read-only file system", "file too large",
    "pytorchstreamwriter", "unexpected pos",
)  # fmt: skip
# PyTorch's own writer, whose words are where it stopped.
_WRITER_WORDS = ("pytorchstreamwriter", "inline_container")
_MEMORY_WORDS = (
    "out of memory", "defaultcpuallocator", "not enough memory", "cannot allocate memory", "bad_alloc",
    "alloc_failed",
    # MLX's, as its macOS library has them; the third is Metal's own reason for a command buffer that failed.
    "[malloc] unable to allocate", "[metal::malloc] attempting to allocate", "insufficient memory",
    "maximum allowed buffer size",
)  # fmt: skip
# CUDA says one of these once; every later call of the process fails with it again.
_GPU_WORDS = (
    "cuda error", "hip error", "unspecified launch failure", "device-side assert", "fallen off the bus",
    "uncorrectable ecc", "illegal memory access", "misaligned address", "gpu is lost", "driver shutting down",
    "no cuda-capable device", "status_execution_failed", "status_internal_error", "status_not_initialized",
)  # fmt: skip
# A PyTorch built for other GPUs: nothing is lost, and nothing will come back.
_NO_KERNEL = ("no kernel image",)


class TrainingError(UserError):
    """Sound input that cannot be trained on, or not any further; ``cause`` tells why."""

    def __init__(self, what: str, *, mend: str, cause: Cause, where: str | None = None) -> None:
        super().__init__(what, mend=mend, where=where)
        self.cause: Cause = cause


def first_line(error: BaseException) -> str:
    """Type and first line of ``error``, 300 characters at most."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:300]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on an accelerator or in an allocator of PyTorch's or MLX's."""
    if isinstance(error, MemoryError) or "OutOfMemoryError" in {one.__name__ for one in type(error).__mro__}:
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _says(error, _MEMORY_WORDS)


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` says that a disk has no room, has none for this user, or takes no writes."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_ERRNOS
    return not isinstance(error, UserError) and _says(error, _DISK_WORDS)


def write_failure(error: BaseException) -> str | None:
    """Why a disk did not take a file, in words; None when ``error`` is no failure of the disk."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if type(error).__name__ == "SafetensorError":
        return str(error).splitlines()[0]
    if isinstance(error, RuntimeError) and _says(error, _WRITER_WORDS):
        return "the disk did not take all of it"
    return None


def is_gpu_lost(error: BaseException) -> bool:
    """Whether ``error`` says that the GPU, or this process's hold on it, is gone for good."""
    if type(error).__name__.startswith("NVMLError"):
        return True
    return isinstance(error, RuntimeError) and _says(error, _GPU_WORDS) and not _says(error, _NO_KERNEL)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
