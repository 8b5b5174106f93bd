"""What a device cannot train, whatever memory it has: asked by the planner and, once more, by the training process."""

from kto_tui.errors import UserError
from kto_tui.recipe import Recipe


def refused(recipe: Recipe, device: str, *, bf16: bool) -> UserError | None:
    """Why ``device`` cannot train with these settings; None where it can.

    Args:
        recipe: the settings.
        device: torch's device type.
        bf16: whether a CUDA device computes in bf16 (compute capability 8.0, and any ROCm one).
    """
    cuda = device == "cuda"
    rules = (
        (recipe.precision == "fp16" and not cuda, "precision", f"fp16 needs a CUDA device, this run would use {device}",
         "auto, bf16 or fp32"),
        (recipe.precision == "bf16" and cuda and not bf16, "precision",
         "This GPU has no bf16: that needs compute capability 8.0", "auto, fp16 or fp32"),
        (recipe.optimizer != "adamw_torch" and not cuda, "optimizer",
         f"{recipe.optimizer} needs a CUDA device, this run would use {device}", "adamw_torch"),
        (recipe.quantization == "nf4" and device == "mps", "quantization", "bitsandbytes has no NF4 on Apple GPUs",
         "none"),
    )  # fmt: skip
    for broken, name, what, instead in rules:
        if broken:
            return UserError(what, mend=f"Set {name} to {instead}", where=f"[recipe] {name}")
    return None
