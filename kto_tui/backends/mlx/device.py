"""Which of MLX's devices a run gets, its number format, and what its memory counters say."""

import gc
import platform
from typing import Any, Literal

import mlx.core as mx
import msgspec

from kto_tui.device_rules import refused
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe


class Device(msgspec.Struct, frozen=True):
    """``type``: metal, or cpu; ``dtype``: of frozen weights and activations, adapters are float32."""

    type: Literal["metal", "cpu"]
    dtype: Any
    precision: str


def check_metal(system: str, machine: str, *, metal_available: bool) -> None:
    """Refuse a Mac whose GPU cannot be reached; on Linux there is no Metal and none is needed.

    Args:
        system: as ``platform.system`` says.
        machine: as ``platform.machine`` says.
        metal_available: what ``mlx.core.metal.is_available`` says.

    Raises:
        UserError: Apple Silicon without Metal.
    """
    if system == "Darwin" and machine == "arm64" and not metal_available:
        raise UserError(
            "MLX finds no Metal device on this Mac, as in a virtual machine that has no GPU",
            mend='Train outside the virtual machine, or with TRL: backend = "hf"',
            where="MLX",
        )


def choose_device(recipe: Recipe) -> Device:
    """The device of this machine and the precision the recipe asks for.

    Metal computes in bf16; MLX's CPU build has no units for it, there fp32 is the faster one.

    Raises:
        UserError: MLX has not what the recipe asks for, or no device on this Mac.
    """
    if (refusal := refused(recipe, "mps", bf16=True, backend="mlx")) is not None:
        raise refusal
    check_metal(platform.system(), platform.machine(), metal_available=mx.metal.is_available())
    metal = mx.metal.is_available() and mx.default_device() == mx.gpu
    automatic = "bf16" if metal else "fp32"
    precision = automatic if recipe.precision == "auto" else recipe.precision
    return Device("metal" if metal else "cpu", mx.bfloat16 if precision == "bf16" else mx.float32, precision)


def wire(device: Device) -> int | None:
    """Let MLX keep as much resident as Metal recommends; returns those bytes, None without Metal.

    Source: ``mlx.core.set_wired_limit`` and ``mlx.core.device_info``, whose key ``max_recommended_working_set_size`` is
    Metal's ``recommendedMaxWorkingSetSize``; it follows ``sysctl iogpu.wired_limit_mb``.
    """
    if device.type != "metal":
        return None
    limit = mx.device_info().get("max_recommended_working_set_size")
    if limit is None:
        return None
    mx.set_wired_limit(int(limit))
    return int(limit)


def allocator() -> tuple[int, int, int]:
    """Bytes of MLX's allocator: in use, kept for use again, and the most in use so far."""
    return mx.get_active_memory(), mx.get_cache_memory(), mx.get_peak_memory()


def release() -> None:
    """Give back what failed passes left."""
    gc.collect()
    mx.clear_cache()
