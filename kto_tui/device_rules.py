"""What a device cannot train, whatever memory it has: asked by the planner and, once more, by the training process."""

from kto_tui.errors import UserError
from kto_tui.recipe import Recipe

# Whether it is broken, the setting, what is wrong, what to set it to.
Rule = tuple[bool, str, str, str]


def refused(recipe: Recipe, device: str, *, bf16: bool, backend: str = "hf") -> UserError | None:
    """Why ``device`` cannot train with these settings; None where it can.

    Args:
        recipe: the settings.
        device: torch's device type.
        bf16: whether a CUDA device computes in bf16 (compute capability 8.0, and any ROCm one).
        backend: that trains.
    """
    rules = _mlx(recipe) if backend == "mlx" else _hf(recipe, device, bf16=bf16)
    for broken, name, what, instead in rules:
        if broken:
            return UserError(what, mend=f"Set {name} to {instead}", where=f"[recipe] {name}")
    return None


def _hf(recipe: Recipe, device: str, *, bf16: bool) -> tuple[Rule, ...]:
    cuda = device == "cuda"
    return (
        (recipe.method == "sft", "method", "SFT runs on the backend mlx alone so far", "kto, or backend to mlx"),
        (recipe.use_dora, "use_dora", "DoRA runs on the backend mlx alone so far", "false"),
        (recipe.quantization.startswith("int"), "quantization", f"{recipe.quantization} is the backend mlx's",
         "none" if device == "mps" else "nf4 or none"),
        (recipe.precision == "fp16" and not cuda, "precision", f"fp16 needs a CUDA device, this run would use {device}",
         "auto, bf16 or fp32"),
        (recipe.precision == "bf16" and cuda and not bf16, "precision",
         "This GPU has no bf16: that needs compute capability 8.0", "auto, fp16 or fp32"),
        (recipe.optimizer != "adamw_torch" and not cuda, "optimizer",
         f"{recipe.optimizer} needs a CUDA device, this run would use {device}", "adamw_torch"),
        (recipe.quantization == "nf4" and device == "mps", "quantization", "bitsandbytes has no NF4 on Apple GPUs",
         "none"),
    )  # fmt: skip


def _mlx(recipe: Recipe) -> tuple[Rule, ...]:
    return (
        (recipe.quantization == "nf4", "quantization", "nf4 is bitsandbytes'; MLX has int4 and int8", "int4"),
        (recipe.precision == "fp16", "precision", "fp16 needs a gradient scaler, which MLX has not",
         "auto, bf16 or fp32"),
        (recipe.optimizer != "adamw_torch", "optimizer", f"{recipe.optimizer} needs a CUDA device; MLX has AdamW",
         "adamw_torch"),
    )  # fmt: skip
