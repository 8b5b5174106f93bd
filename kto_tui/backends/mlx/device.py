"""Whether MLX has a device to train on; asked by the training process, which has imported MLX."""

from kto_tui.errors import UserError


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
