"""What MLX cannot train of a model, told from its configuration before it is downloaded or loaded."""

import functools
from collections.abc import Iterable
from pathlib import Path

from kto_tui.catalog.model import LLAMA_LIKE, ModelSpec
from kto_tui.errors import UserError

HF = 'backend to "hf"'
LIMITS = {
    "window": "Some layers look back {tokens} tokens, and mlx-lm has no such window",
    "longrope": "Rows of more than {tokens} tokens have other rotary positions (longrope), which mlx-lm confuses",
    "dynamic": "Rows of more than {tokens} tokens have other rotary positions (dynamic), which mlx-lm confuses",
}
# Ways of storing quantised weights that mlx-lm 0.32 takes as they are, and that gradients pass through: MLX's own
# ("quantization" in config.json) and gpt-oss's. What it would unpack or convert while loading is refused: AWQ and GPTQ
# for every backend (config_file.UNTRAINABLE), the others here.
TAKEN = frozenset({"mlx", "mxfp4"})
# Weights of an output that share a scale and a bias where a recipe quantises; layers whose inputs are no multiple of
# it stay as they are (mlx_lm.utils.quantize_model).
GROUP = 64
# Architectures whose scores and gradients the tests compare with Transformers', by mlx-lm's names.
COMPARED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma2", "smollm3", "phi3", "olmo2", "granite"})
# Architectures that mlx-lm 0.32.2 loads and adapters cannot be trained of.
NOT_TRAINED = {
    "bitnet": "its layers are none of MLX's linear ones",
    "deepseek_v41": "the router's choice of experts has no gradient",
    "deepseek_v41_text": "as deepseek_v41",
    "gemma3n": "it reads the weights of layers that would have adapters",
    "muse_spark": "its Metal kernels have no gradient",
    "olmo": "its module ends the process where ai2-olmo is not installed",
    "phi3small": "a row's scores depend on how far it is padded",
    "prism_hadamard_qwen35": "its layers are none of MLX's linear ones",
    "recurrent_gemma": "it cannot be frozen: its class never calls that of mlx.nn.Module",
    "rwkv7": "its Metal kernel has no gradient",
}
# Text models that mlx-lm loads under another name, also where a checkpoint holds nothing else.
TEXT_MODELS = {
    "gemma4_unified_text": "gemma4_text",
    "qwen3_5_moe_text": "qwen3_5_moe",
    "qwen3_5_text": "qwen3_5",
}


@functools.cache
def mlx_architectures() -> frozenset[str]:
    """Model types that mlx-lm loads, as shipped.

    Source: mlx-lm 0.32.2, every module of ``mlx_lm.models`` with a ``Model`` and ``ModelArgs``, and the keys of
    ``mlx_lm.utils.MODEL_REMAPPING``.
    """
    return frozenset(Path(__file__).with_name("mlx_architectures.txt").read_text(encoding="ascii").split())


def is_trained(kind: str) -> bool:
    """Whether mlx-lm has the architecture ``kind``, by its model type, and it can be trained."""
    return TEXT_MODELS.get(kind, kind) in mlx_architectures() - NOT_TRAINED.keys()


def _widths(model: ModelSpec) -> list[int]:
    """Inputs of a model's linear layers; none where they are not known from its shape."""
    shape = (model.hidden_size, model.intermediate_size, model.heads, model.head_dim)
    if model.model_type not in LLAMA_LIKE or None in shape:
        return []
    hidden, inner, heads, head_dim = (int(each) for each in shape if each is not None)
    return sorted({hidden, inner, heads * head_dim})


def nothing_to_quantise(quantization: str, widths: Iterable[int], model: str) -> UserError:
    """Why ``quantization`` is refused where no layer's inputs, of these ``widths``, come in whole groups."""
    what = f"{quantization} would quantise nothing of this model: no layer's inputs are a multiple of {GROUP}"
    found = ", ".join(map(str, widths))
    return UserError(f"{what} ({found})", mend="Set quantization to none", where=model)


def mlx_refusal(model: ModelSpec, quantization: str = "none", max_length: int | None = None) -> UserError | None:
    """Why MLX would refuse a model; None where it would not, or where nothing is known of it yet.

    Args:
        model: as far as it is known.
        quantization: the recipe's, by which the weights would be quantised while they are loaded.
        max_length: tokens of the recipe's longest row; None: not known yet.
    """
    if model.model_type is not None and not is_trained(model.model_type):
        what = f"mlx-lm has no architecture {model.model_type} that can be trained"
        return UserError(what, mend=f"Choose another model, or set {HF}", where=model.id)
    if model.quantised == "bitsandbytes":
        what = "This checkpoint is quantised by bitsandbytes, which MLX cannot read"
        return UserError(what, mend="Choose the original model, quantised while loading by int4", where=model.id)
    if model.quantised is not None and model.quantised not in TAKEN:
        what = f"This checkpoint is quantised ({model.quantised}) in a way that is not trained with MLX here"
        return UserError(what, mend="Choose the original model, quantised while loading by int4", where=model.id)
    if model.quantised is not None and quantization != "none":
        what = f"This checkpoint is quantised already ({model.quantised})"
        return UserError(what, mend="Set quantization to none", where=model.id)
    if quantization != "none" and (widths := _widths(model)) and not any(width % GROUP == 0 for width in widths):
        return nothing_to_quantise(quantization, widths, model.id)
    if model.mlx_difference is not None:
        what = f"{model.mlx_difference}: it would train another model than Transformers runs"
        return UserError(what, mend=f"Choose another model, or set {HF}", where=model.id)
    if (limit := model.mlx_limit) is not None and max_length is not None and max_length > limit.tokens:
        what = f"{LIMITS[limit.cause].format(tokens=limit.tokens)}: it would score longer rows as another model"
        return UserError(what, mend=f"Set max_length to {limit.tokens} or less, or {HF}", where=model.id)
    # Of a folder every safetensors file has been counted (checkpoint.read_local): what is left is pickles.
    if model.id.startswith("/") and model.parameters is None and model.quantised is None:
        what = "MLX reads safetensors files and this folder has none"
        return UserError(what, mend=f"Save the model again as safetensors, or set {HF}", where=model.id)
    return None


def hf_refusal(model: ModelSpec) -> UserError | None:
    """Why TRL would refuse a checkpoint that was made for MLX; None for every other one."""
    if model.quantised != "mlx":
        return None
    what = "This checkpoint is quantised by MLX, which Transformers cannot read"
    return UserError(what, mend='Choose the original model, or set backend to "mlx"', where=model.id)


def model_refusal(
    model: ModelSpec, backend: str, quantization: str = "none", max_length: int | None = None
) -> UserError | None:
    """Why ``backend`` would refuse a model; None where it would not, or where nothing is known of it yet."""
    return mlx_refusal(model, quantization, max_length) if backend == "mlx" else hf_refusal(model)


def folder_refusal(folder: Path) -> UserError | None:
    """Why mlx-lm would find no weights in a checkpoint folder: it loads ``model*.safetensors`` alone."""
    if folder.suffix == ".gguf" or (any(folder.glob("*.gguf")) and not any(folder.glob("*.safetensors"))):
        what = "GGUF checkpoints cannot be trained with MLX"
        return UserError(what, mend="Use the original model; it is quantised while loading", where=str(folder))
    if not any(folder.glob("model*.safetensors")):
        what = "MLX reads model*.safetensors and this folder has none"
        return UserError(what, mend=f"Save the model again as safetensors, or set {HF}", where=str(folder))
    return None


def adapter_refusal(targets: Iterable[str]) -> UserError | None:
    """Why no adapter can be put on these layers; the loss takes the output head as frozen, as TRL's does."""
    if any(name.rpartition(".")[2] in {"lm_head", "embed_out"} for name in targets):
        what = "An adapter on the output head (lm_head) cannot be trained"
        return UserError(what, mend="Set lora_targets to minimal, balanced or full", where="lora_targets")
    return None


def gguf_refusal(quantised: bool) -> UserError | None:
    """Why a model cannot be fused to GGUF; ``quantised``: whether its base weights are."""
    if not quantised:
        return None
    what = "A model with quantised weights cannot be fused to GGUF"
    mend = "Fuse the adapter with the original model, then convert that folder with llama.cpp's convert_hf_to_gguf.py"
    return UserError(what, mend=mend, where="fuse")
