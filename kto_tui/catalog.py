"""Which models there are and their shapes: the shipped catalog, local checkpoints and cached downloads."""

import difflib
import functools
import json
import math
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import asdict, replace

from kto_tui import paths
from kto_tui.errors import UserError

Size = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

# Types whose layers are the seven plain projections (fused or not): their weights follow from the shapes.
LLAMA_LIKE = frozenset({"gemma", "gemma2", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3"})
FLOATS, BUFFERS = frozenset({"F64", "F32", "F16", "BF16"}), frozenset({"I64", "BOOL"})
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
CONFIG_KEYS = {n: n for n in ("model_type", "hidden_size", "head_dim", "intermediate_size", "vocab_size")} | {
    "layers": "num_hidden_layers", "heads": "num_attention_heads", "kv_heads": "num_key_value_heads",
    "tied_embeddings": "tie_word_embeddings", "context": "max_position_embeddings",
}  # fmt: skip


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model; None means unknown. ``quantised`` is a checkpoint's own quantisation method."""

    id: Text
    title: Text
    parameters: Size | None = None
    model_type: Text | None = None
    hidden_size: Size | None = None
    layers: Size | None = None
    heads: Size | None = None
    kv_heads: Size | None = None
    head_dim: Size | None = None
    intermediate_size: Size | None = None
    vocab_size: Size | None = None
    tied_embeddings: bool | None = None
    context: Size | None = None
    licence: Text | None = None
    gated: bool | None = None
    nf4_linear_params: Size | None = None
    non_quantised_params: Size | None = None
    note: str = ""
    quantised: str | None = None


class _Tensor(msgspec.Struct):
    dtype: str = ""
    shape: list[int] = []


def load_catalog() -> tuple[ModelSpec, ...]:
    """The models of presets/models.toml in the file's order; read once per process."""
    return _read_catalog(paths.presets() / "models.toml")


def find(model_id: str) -> ModelSpec | None:
    """The catalog's entry with exactly this id."""
    return next((spec for spec in load_catalog() if spec.id == model_id), None)


def resolve(text: str) -> ModelSpec:
    """The model a person means by a folder, a catalog id or a hub id, without asking the network."""
    text = text.strip()
    if text.startswith((".", "/", "~")) or os.path.isdir(text):  # noqa: PTH112 - pathlib raises on pasted prose
        return read_local(Path(text))
    if HUB_ID.fullmatch(text):
        return find(text) or _read_cached(text)
    names = {name.lower(): spec.id for spec in load_catalog() for name in (spec.id, spec.id.split("/")[-1])}
    near = dict.fromkeys(names[name] for name in difflib.get_close_matches(text.lower(), names, 3, 0.4))
    choice = " or ".join(near) or "a model from the list"
    mend = f"Choose {choice}, or write a hub id (org/name) or a folder (./name)"
    raise UserError(f"No model is called {text!r}" if text else "No model is named", mend=mend)


def read_local(folder: Path) -> ModelSpec:
    """What the config.json and the weight files of a checkpoint folder say."""
    folder = Path(os.path.abspath(os.path.expanduser(folder)))  # noqa: PTH100, PTH111 - pathlib raises on ~nobody
    where = str(folder)
    if not os.path.isdir(folder) and folder.suffix != ".gguf":  # noqa: PTH112 - pathlib raises where it may not look
        raise UserError("There is no such model folder", mend="Check the path or choose a model", where=where)
    tensors = _tensors(folder)
    if folder.suffix == ".gguf" or (not tensors and any(folder.glob("*.gguf"))):
        raise _untrainable("gguf", where)
    spec = _read_config(folder, ModelSpec(id=where, title=folder.name, gated=False))
    if not tensors and not any(folder.glob("pytorch_model*.bin")):
        raise UserError("The model folder holds no weights", mend="Add its *.safetensors files", where=where)
    return _count(spec, tensors)


@functools.cache
def _read_catalog(file: Path) -> tuple[ModelSpec, ...]:
    try:
        text = file.read_text(encoding="utf-8")
        tables = msgspec.convert(tomllib.loads(text), dict[Literal["model"], list[dict[str, Any]]])["model"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"Unreadable ({error})", mend="Correct it or reinstall", where=str(file)) from error
    models: dict[str, ModelSpec] = {}
    for number, table in enumerate(tables, 1):
        where = f"{file}: model {table.get('id', number)}"
        if lacking := {*ModelSpec.__struct_fields__} - {"note", "quantised"} - table.keys():
            raise UserError(f"It lacks {', '.join(sorted(lacking))}", mend="Fill in every key", where=where)
        try:
            spec = msgspec.convert(table, ModelSpec)
        except msgspec.ValidationError as error:
            raise UserError(f"The entry is wrong: {error}", mend="Correct that key", where=where) from error
        if spec.id in models:
            raise UserError("The model is listed twice", mend="Delete one of its entries", where=where)
        models[spec.id] = spec
    return tuple(models.values())


def _untrainable(method: str, where: str) -> UserError:
    what = f"{method.upper()} checkpoints cannot be trained here"
    return UserError(what, mend="Use the original model; it is quantised while loading", where=where)


def _read_config(folder: Path, spec: ModelSpec) -> ModelSpec:
    file, again = folder / "config.json", "Copy the model's config.json again"
    try:
        if file.exists() and not file.is_file():
            raise ValueError("not a regular file")  # noqa: TRY301 - told like every other unusable file
        config = msgspec.convert(json.loads(file.read_text(encoding="utf-8")), dict[str, Any])
        found = {field: config.get(key) for field, key in CONFIG_KEYS.items()}
        spec = msgspec.convert(asdict(spec) | found, ModelSpec)
    except FileNotFoundError as error:
        raise UserError("No config.json", mend="Choose a folder that has one", where=str(folder)) from error
    except (OSError, ValueError) as error:
        raise UserError(f"Not a usable JSON object ({error})", mend=again, where=str(file)) from error
    if spec.model_type is None:
        raise UserError("The model's config names no model_type", mend=again, where=str(file))
    own, method = config.get("quantization_config"), "mlx" if config.get("quantization") else None
    if isinstance(own, dict):
        method = str(own.get("quant_method", "unknown")).lower()
    if method in {"gptq", "awq", "gguf"}:
        raise _untrainable(method, str(file))
    hidden, heads, wide = spec.hidden_size, spec.heads, spec.intermediate_size
    kv = spec.kv_heads or heads
    dim = spec.head_dim or (hidden // heads if hidden and heads else None)
    linear = None
    if spec.model_type in LLAMA_LIKE and spec.layers and hidden and heads and kv and dim and wide:
        linear = spec.layers * hidden * (2 * heads * dim + 2 * kv * dim + 3 * wide)
    return replace(spec, kv_heads=kv, head_dim=dim, nf4_linear_params=linear, quantised=method)


def _read_cached(hub_id: str) -> ModelSpec:
    spec = ModelSpec(id=hub_id, title=hub_id.split("/")[1])
    repo = paths.hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        snapshot = repo / "snapshots" / (repo / "refs" / "main").read_text(encoding="ascii").strip()
        if not (snapshot / "config.json").is_file():
            return spec
    except (OSError, ValueError):
        return spec
    spec = _read_config(snapshot, spec)
    try:
        return _count(spec, _tensors(snapshot))
    except UserError:  # a download that is not complete yet; the shapes are known all the same
        return spec


def _tensors(folder: Path) -> dict[str, _Tensor]:
    # Some publishers add a second copy of the same weights (consolidated.safetensors) under another name.
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
    shards = re.search(r"-of-(\d+)\.", files[-1].name) if files else None
    if shards and int(shards[1]) != len(files):
        raise UserError("Some weight files are missing", mend="Copy the model again", where=str(folder))
    tensors: dict[str, _Tensor] = {}
    for file in files:
        try:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = stream.read(min(length, 100_000_000))  # the safetensors library's own limit
            tensors |= msgspec.json.decode(header, type=dict[str, _Tensor])
        except (OSError, ValueError) as error:
            raise UserError(f"Damaged ({error})", mend="Copy the file again", where=str(file)) from error
    tensors.pop("__metadata__", None)
    return tensors


def _count(spec: ModelSpec, tensors: dict[str, _Tensor]) -> ModelSpec:
    if not tensors:
        return spec
    tied = spec.tied_embeddings if spec.tied_embeddings is not None else "lm_head.weight" not in tensors
    if packed := {tensor.dtype for tensor in tensors.values()} - FLOATS - BUFFERS:
        return replace(spec, tied_embeddings=tied, quantised=spec.quantised or min(packed).lower())
    # Some files repeat the tied head or keep rotary buffers: neither is a parameter once the model is loaded.
    skip = (".inv_freq", "lm_head.weight") if tied else (".inv_freq",)
    sizes = [math.prod(t.shape) for n, t in tensors.items() if t.dtype in FLOATS and not n.endswith(skip)]
    total, linear = sum(sizes) or None, spec.nf4_linear_params
    rest = total - linear if total and linear and total > linear else None
    return replace(spec, parameters=total, non_quantised_params=rest, tied_embeddings=tied)
