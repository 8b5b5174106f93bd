"""Loads a base model of mlx-lm from a Hugging Face folder, and says plainly why it could not."""

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.utils import load_model, quantize_model

from kto_tui.backends.mlx.device import Device
from kto_tui.backends.mlx.rope import read_config
from kto_tui.backends.mlx.told import correct, told
from kto_tui.backends.training.model_files import room_for
from kto_tui.catalog import resolve
from kto_tui.catalog.mlx import COMPARED, GROUP, TEXT_MODELS, folder_refusal, mlx_refusal, nothing_to_quantise
from kto_tui.catalog.mlx_config import text_of
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe

BITS = {"int4": 4, "int8": 8}


class Quantised(msgspec.Struct, frozen=True):
    """``layers`` of the ``of`` that could be are quantised to ``bits``."""

    bits: int
    layers: int
    of: int

    @property
    def word(self) -> str:
        """How weights are kept, such as 4-bit."""
        return f"{self.bits}-bit" if self.layers == self.of else f"{self.bits}-bit in part"


class Base(msgspec.Struct, frozen=True):
    """A loaded base model.

    Attributes:
        model: of mlx-lm.
        config: as normalised, with ``quantization`` where weights are quantised.
        vocabulary: entries of its head.
        notes: what a person should know of it.
        quantised: how much of it; None where nothing is.
    """

    model: Any
    config: dict[str, Any]
    vocabulary: int
    notes: tuple[str, ...] = ()
    quantised: Quantised | None = None


def load_base(folder: Path, recipe: Recipe, device: Device, model: str) -> Base:
    """The base model in ``folder``, quantised where the recipe says so and it is not yet.

    Args:
        folder: a Hugging Face checkpoint with safetensors, or one of mlx-community's.
        recipe: precision, quantisation, max_length.
        device: where it goes.
        model: its name, for messages.

    Raises:
        UserError: mlx-lm cannot load it, or it is quantised otherwise than asked.
        TrainingError: memory does not hold it.
    """
    config = read_config(folder)
    refusal = folder_refusal(folder) or mlx_refusal(
        resolve(str(folder.resolve())), recipe.quantization, recipe.max_length
    )
    if refusal is not None:
        raise refusal
    notes = []
    if config["model_type"] not in COMPARED:
        notes.append(f"mlx-lm's {config['model_type']} has not been compared with Transformers")
    # mlx-lm has looked at generation_config.json for the tokens that end an answer, as Transformers does.
    kept = {"quantization", "quantization_config", "eos_token_id"}
    try:
        changes = {name: value for name, value in told(config).items() if name not in kept}
        changes["model_type"] = TEXT_MODELS.get(config["model_type"], config["model_type"])
        with room_for(model):
            loaded, found = load_model(folder, lazy=True, model_config=changes)
            correct(loaded, config)
            rounded = _cast(loaded, device.dtype)
            loaded, found, left = _quantise(loaded, found, recipe, model)
            mx.eval(loaded.parameters())
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        # RuntimeError: what MLX's reader of files says; a lack of memory is no longer one here.
        raise UserError(
            f"mlx-lm cannot load the model ({_one_line(error)})",
            mend="Check that it is a complete language model with safetensors weights, or set backend to hf",
            where=str(folder),
        ) from error
    quantised = found.get("quantization")
    if isinstance(quantised, Mapping) and recipe.quantization == "none":
        notes.append(f"The checkpoint's weights are quantised to {quantised['bits']} bits already, and stay so")
        if rounded:
            notes.append(f"Its scales are fp16 and rounded to {device.precision}: training in fp16 needs a scaler")
    if left is not None:
        notes.append(left)
    return Base(loaded, found, int(text_of(config)["vocab_size"]), tuple(notes), _quantised(loaded, found))


def _cast(model: Any, dtype: Any) -> bool:  # noqa: ANN401
    """Let ``model`` compute in ``dtype``; whether that rounds float16 weights.

    Scales of quantised weights too: activations have their format. What an architecture keeps in float32, such as the
    biases of a mixture's router, stays so (``cast_predicate``, as ``mlx_lm.convert`` asks it).
    """
    wanted = getattr(model, "cast_predicate", lambda _name: True)
    formats = {each.dtype for _, each in tree_flatten(model.parameters())}

    def changed(name: str, each: mx.array) -> mx.array:
        return each.astype(dtype) if mx.issubdtype(each.dtype, mx.floating) and wanted(name) else each

    model.update(tree_map_with_path(changed, model.parameters()))
    return mx.float16 in formats and dtype == mx.bfloat16


def _one_line(error: Exception) -> str:
    """What it says; missing weights are named from the second line on."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _quantise(model: Any, config: dict[str, Any], recipe: Recipe, name: str) -> tuple[Any, dict[str, Any], str | None]:  # noqa: ANN401
    """Model and configuration as the recipe wants them, and what to know of layers that could not be quantised.

    Raises:
        UserError: that is none of them.
    """
    bits = BITS.get(recipe.quantization)
    if bits is None:
        return model, config, None
    widths = [each.weight.shape[-1] for _, each in model.named_modules() if hasattr(each, "to_quantized")]
    odd = [width for width in widths if width % GROUP]
    if len(odd) == len(widths):
        raise nothing_to_quantise(recipe.quantization, sorted(set(odd)), name)
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it has done
        changed, found = quantize_model(model, config, GROUP, bits)
    left = f"{recipe.quantization} leaves {len(odd)} of {len(widths)} layers as they are: their inputs are no multiple"
    return changed, found, f"{left} of {GROUP}" if odd else None


def _quantised(model: Any, config: Mapping[str, Any]) -> Quantised | None:  # noqa: ANN401
    settings = config.get("quantization")
    if not isinstance(settings, Mapping):
        return None
    modules = [each for _, each in model.named_modules()]
    done, left = sum("scales" in each for each in modules), sum(hasattr(each, "to_quantized") for each in modules)
    return Quantised(settings["bits"], done, done + left)
