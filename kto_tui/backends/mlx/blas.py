"""Gives MLX's CPU build a fast BLAS where one is installed; to be called before ``mlx.core`` is first imported."""

import contextlib
import ctypes
import sys


def use_openblas() -> bool:
    """Load OpenBLAS so that MLX's calls find it first; whether there was one.

    MLX's wheels for Linux bring the reference BLAS, whose matrix products take tens of times as long. Results agree.
    Metal and macOS' Accelerate need nothing.
    """
    if sys.platform != "linux" or "mlx.core" in sys.modules:
        return False
    with contextlib.suppress(OSError):
        ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
        return True
    return False
