"""Who trains, when nobody has said: MLX on Apple Silicon where it can, TRL everywhere else."""

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.catalog.mlx import hf_refusal, mlx_refusal
from kto_tui.environment import mlx_refusal as mlx_refusal_here
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware


class Choice(msgspec.Struct, frozen=True):
    """A backend's name in ``run.toml``, and why it; no reason where there is nothing to choose between."""

    name: str
    because: str = ""


def choose_backend(
    hardware: Hardware, *, asked: str | None = None, model: ModelSpec | None = None, trouble: UserError | None = None
) -> Choice:
    """The backend for a machine and a model.

    Args:
        hardware: where; of a machine that is only planned it is taken that MLX is installed.
        asked: what a run file names; it wins.
        model: one that MLX would refuse goes to TRL, unless TRL would refuse it too.
        trouble: why MLX cannot train here.
    """
    if asked is not None:
        return Choice(asked, "named in the run file")
    if hardware.device != "mps":
        return Choice("hf")
    if trouble is not None and hardware.planned_as is None:
        return Choice("hf", f"not MLX: {trouble.what}")
    if model is not None and (refusal := mlx_refusal(model)) is not None and hf_refusal(model) is None:
        return Choice("hf", f"not MLX: {refusal.what}")
    return Choice("mlx", "Apple Silicon")


def backend_here(hardware: Hardware, *, asked: str | None = None, model: ModelSpec | None = None) -> Choice:
    """``choose_backend`` with what is installed here."""
    trouble = mlx_refusal_here() if hardware.device == "mps" and hardware.planned_as is None else None
    return choose_backend(hardware, asked=asked, model=model, trouble=trouble)
