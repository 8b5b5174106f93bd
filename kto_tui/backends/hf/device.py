"""Which device and number format a run gets."""

import msgspec
import torch

from kto_tui.device_rules import refused
from kto_tui.recipe import Recipe


class Device(msgspec.Struct, frozen=True):
    """A torch device type, the dtype of weights and activations, and what suits them.

    ``attention``: None leaves it to Transformers, which knows the architectures that have no sdpa.
    """

    type: str
    dtype: torch.dtype
    precision: str
    attention: str | None

    @property
    def autocast(self) -> bool:
        """Whether the Trainer's mixed-precision flag is used; elsewhere the weights' own dtype is enough."""
        return self.type == "cuda" and self.precision != "fp32"


DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def _automatic(kind: str) -> str:
    if kind == "cuda":
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    if kind == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001 - torch has no public query
        return "bf16"
    return "fp32"


def choose_device(recipe: Recipe) -> Device:
    """The device of this machine and the precision the recipe asks for.

    Raises:
        UserError: the device cannot train with that precision or optimizer.
    """
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    precision = _automatic(kind) if recipe.precision == "auto" else recipe.precision
    bf16 = kind != "cuda" or _automatic(kind) == "bf16"
    if (refusal := refused(msgspec.structs.replace(recipe, precision=precision), kind, bf16=bf16)) is not None:
        raise refusal
    # Measured in benchmarks/README.md: sdpa's CPU backward in bf16 is slower than plain matrix products.
    return Device(kind, DTYPES[precision], precision, "eager" if kind == "cpu" else None)
