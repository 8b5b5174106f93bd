"""Reads a checkpoint's config.json, written by anybody, into a model's facts."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from kto_tui.catalog.mlx_config import difference, row_limit
from kto_tui.catalog.model import (
    LLAMA_LIKE,
    STRUCTURE,
    SUPPORTED,
    Context,
    ModelSpec,
    Name,
    Size,
    Value,
    causal_architectures,
)
from kto_tui.catalog.shipped import lora_targets
from kto_tui.errors import UserError

CONFIG_BYTES = 8 * 2**20  # the largest published ones have a few hundred KiB
AGAIN = "Copy the model's config.json again"
# Older architectures' words for the same shapes.
ALIASES = {
    "n_embd": "hidden_size", "d_model": "hidden_size", "n_layer": "num_hidden_layers", "n_layers": "num_hidden_layers",
    "n_head": "num_attention_heads", "n_heads": "num_attention_heads", "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings", "max_seq_len": "max_position_embeddings",
}  # fmt: skip
# model_type of what is published in the same form but does not write text token by token.
OTHER_KINDS = {
    "an encoder-decoder": "bart bigbird_pegasus blenderbot fsmt led longt5 m2m_100 marian mbart mt5 nllb-moe pegasus "
    "prophetnet seamless_m4t speech_to_text switch_transformers t5 t5gemma udop umt5 whisper",
    "a text encoder": "albert bert camembert convbert deberta deberta-v2 distilbert electra ernie flaubert funnel "
    "longformer luke modernbert mpnet nomic_bert roberta roformer squeezebert xlm-roberta xlm-roberta-xl",
    "an image or sound model": "beit clip convnext deit detr dinov2 hubert layoutlm sam segformer siglip siglip2 swin "
    "vit wav2vec2 wavlm yolos",
}
KINDS = {name: kind for kind, names in OTHER_KINDS.items() for name in names.split()}
HEADLESS = re.compile(r"\w{1,60}For(MaskedLM|\w*Classification|QuestionAnswering|MultipleChoice|PreTraining)", re.ASCII)
UNTRAINABLE = frozenset({"gptq", "awq", "gguf"})


class _Config(msgspec.Struct):
    model_type: Name | None = None
    hidden_size: Size | None = None
    num_hidden_layers: Size | None = None
    num_attention_heads: Size | None = None
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    intermediate_size: Size | None = None
    vocab_size: Size | None = None
    tie_word_embeddings: bool | None = None
    max_position_embeddings: Context | None = None


def untrainable(method: str, where: str) -> UserError:
    """Why checkpoints quantised by ``method`` are refused."""
    what = f"{method.upper()} checkpoints cannot be trained here"
    return UserError(what, mend="Use the original model; it is quantised while loading", where=where)


def read_config(folder: Path, spec: ModelSpec) -> ModelSpec:
    """``spec`` with what the config.json in ``folder`` says; of a vision-language checkpoint its text model.

    Raises:
        UserError: the file is missing, broken, or describes no causal language model.
    """
    file = folder / "config.json"
    try:
        outer = load_json(file)
        text = outer.get("text_config")
        inner = text if isinstance(text, dict) else {}
        config = outer | {key: value for key, value in inner.items() if value is not None}
        config = {ALIASES[key]: value for key, value in config.items() if key in ALIASES} | config
        whole = msgspec.convert({"model_type": outer.get("model_type")}, _Config).model_type
        facts, structure = _convert(config)
        heads, groups = facts.num_attention_heads, facts.num_key_value_heads
        if heads and groups and heads % groups and facts.model_type in SUPPORTED:
            raise msgspec.ValidationError(f"{groups} key-value heads cannot share {heads} heads")  # noqa: TRY301
    except FileNotFoundError as error:
        raise UserError("No config.json", mend="Choose a folder that has one", where=str(folder)) from error
    except msgspec.ValidationError as error:
        raise UserError(f"The config has an impossible value ({error})", mend=AGAIN, where=str(file)) from error
    except (OSError, ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"Not a usable JSON object ({why})", mend=AGAIN, where=str(file)) from error
    if kind := _other_kind(outer, {whole, facts.model_type}):
        raise UserError(f"This is {kind}, not a causal language model", mend="Choose another model", where=str(file))
    if facts.model_type is None:
        raise UserError("The model's config names no model_type", mend=AGAIN, where=str(file))
    own, method = outer.get("quantization_config"), "mlx" if isinstance(outer.get("quantization"), dict) else None
    if isinstance(own, dict) and method is None:  # MLX's checkpoints say the same twice, and name no method
        method = str(own.get("quant_method")).lower()
        method = method if re.fullmatch(r"[\w-]{1,32}", method, re.ASCII) and method != "none" else "unknown"
    if method in UNTRAINABLE:
        raise untrainable(method, str(file))
    note = f"the text model of a {whole} checkpoint" if whole != facts.model_type else ""
    if whole is not None and whole not in causal_architectures():  # it is loaded by this name, not by its text model's
        facts.model_type = whole
    spec = replace(_with_shapes(spec, facts), config=structure, quantised=method, note=note)
    spec = replace(spec, mlx_limit=row_limit(outer), mlx_difference=difference(outer))
    return spec if inner else replace(spec, nf4_linear_params=_linear(spec))


def load_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file that anybody may have written.

    Raises:
        OSError, ValueError, RecursionError: there is none, or it is too large or too deep.
    """
    if file.exists() and not file.is_file():
        raise ValueError("not a regular file")
    with file.open("rb") as stream:
        content = stream.read(CONFIG_BYTES + 1)
    if len(content) > CONFIG_BYTES:
        raise ValueError("larger than 8 MiB")
    # No number has 40 digits; Python refuses to read 4,300 of them, and says so at length.
    found = json.loads(content.decode("utf-8"), parse_int=lambda digits: int(digits[:40]))
    if not isinstance(found, dict):
        raise ValueError("a list, text or number instead")  # noqa: TRY004 - told like a broken file
    return found


def _convert(config: dict[str, Any]) -> tuple[_Config, dict[str, Value]]:
    shapes = {key: config[key] for key in _Config.__struct_fields__ if key in config}
    structure = {key: config[key] for key in sorted(STRUCTURE & config.keys())}
    if config.get("model_type") not in [*SUPPORTED]:  # what varies from layer to layer is unknown here, not wrong
        shapes = {key: None if isinstance(value, list) else value for key, value in shapes.items()}
        structure = {}
    for key, value in structure.items():
        try:
            msgspec.convert(value, Value)
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"{error} in {key}") from error
    return msgspec.convert(shapes, _Config), structure


def _other_kind(config: dict[str, Any], types: set[str | None]) -> str | None:
    if "_diffusers_version" in config:
        return "a part of a diffusion pipeline"
    if config.get("is_encoder_decoder") is True:
        return "an encoder-decoder"
    if known := sorted(KINDS[name] + f" ({name})" for name in types if name in KINDS):
        return known[0]
    listed = config.get("architectures")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    bare = bool(types & SUPPORTED)  # of these a plain ...Model is an embedding model, not a remote architecture's name
    if names and all(HEADLESS.fullmatch(name) or (bare and re.fullmatch(r"\w{1,60}Model", name)) for name in names):
        return f"headless ({names[0]})"
    return None


def _with_shapes(spec: ModelSpec, facts: _Config) -> ModelSpec:
    hidden, heads = facts.hidden_size, facts.num_attention_heads
    dim = hidden // heads if hidden and heads and hidden % heads == 0 else None
    return replace(
        spec,
        model_type=facts.model_type,
        hidden_size=hidden,
        layers=facts.num_hidden_layers,
        heads=heads,
        kv_heads=facts.num_key_value_heads or heads,
        head_dim=facts.head_dim or dim,
        intermediate_size=facts.intermediate_size,
        vocab_size=facts.vocab_size,
        tied_embeddings=facts.tie_word_embeddings,
        context=facts.max_position_embeddings,
        lora_targets=lora_targets(facts.model_type),
    )


def _linear(spec: ModelSpec) -> int | None:
    hidden, heads, kv_heads, wide = spec.hidden_size, spec.heads, spec.kv_heads, spec.intermediate_size
    if spec.model_type not in LLAMA_LIKE or not (
        spec.layers and hidden and heads and kv_heads and spec.head_dim and wide
    ):
        return None
    return spec.layers * hidden * (2 * (heads + kv_heads) * spec.head_dim + 3 * wide)
