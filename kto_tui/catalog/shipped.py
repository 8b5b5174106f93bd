"""The models of presets/models.toml, checked while they are read."""

import functools
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from kto_tui import paths
from kto_tui.catalog.mlx_config import row_limit
from kto_tui.catalog.model import STRUCTURE, ModelSpec, Name
from kto_tui.errors import UserError

MAY_LACK = {
    "config",
    "nf4_linear_params",
    "hub_bytes",
    "lora_targets",
    "unsloth_4bit",
    "mlx_4bit",
    "mlx_limit",
    "chat_template",
    "note",
}
NEVER = {"quantised", "packed", "mlx_difference"}  # the catalog lists original models, and none that MLX refuses
# What the published configs set to null, which TOML cannot say and the architecture's default contradicts.
NULLS: dict[str, dict[str, None]] = {"mistral": {"sliding_window": None}}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    model: list[dict[str, Any]]
    lora_targets: dict[Name, tuple[Name, ...]] = {}


def load_catalog() -> tuple[ModelSpec, ...]:
    """The models of presets/models.toml, smallest first; read once per process."""
    return tuple(_read(paths.presets() / "models.toml")[0].values())


def find(model_id: str) -> ModelSpec | None:
    """The catalog's entry with exactly this id."""
    return _read(paths.presets() / "models.toml")[0].get(model_id)


def lora_targets(model_type: str | None) -> tuple[str, ...] | None:
    """Names of the linear layers of one block of this architecture; None where the catalog does not say."""
    return _read(paths.presets() / "models.toml")[1].get(model_type or "")


@functools.cache
def _read(file: Path) -> tuple[dict[str, ModelSpec], dict[str, tuple[str, ...]]]:
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"Unreadable ({error})", mend="Correct it or reinstall", where=str(file)) from error
    models: dict[str, ModelSpec] = {}
    last = 0
    for number, table in enumerate(found.model, 1):
        where = f"{file}: model {table.get('id', number)}"
        spec = _read_model(table, found.lora_targets, where)
        if spec.id in models:
            raise UserError("The model is listed twice", mend="Delete one of its entries", where=where)
        if (size := spec.parameters or 0) < last:
            raise UserError("The model stands after a larger one", mend="Sort by parameters", where=where)
        models[spec.id], last = spec, size
    return models, found.lora_targets


def _read_model(table: dict[str, Any], targets: dict[str, tuple[str, ...]], where: str) -> ModelSpec:
    if lacking := {*ModelSpec.__struct_fields__} - MAY_LACK - NEVER - table.keys():
        raise UserError(f"It lacks {', '.join(sorted(lacking))}", mend="Fill in every key", where=where)
    kind = str(table["model_type"])
    try:
        spec = msgspec.convert({"lora_targets": targets.get(kind)} | table, ModelSpec)
    except msgspec.ValidationError as error:
        raise UserError(f"The entry is wrong: {error}", mend="Correct that key", where=where) from error
    for wrong, what in WRONG:
        if wrong(spec):
            raise UserError(f"The entry is wrong: {what}", mend="Compare it with the model's config.json", where=where)
    config = NULLS.get(kind, {}) | spec.config
    limit = spec.mlx_limit or row_limit(config | {"model_type": kind})
    return msgspec.structs.replace(spec, config=config, mlx_limit=limit)


def _shape(spec: ModelSpec) -> tuple[int, int, int, int]:
    return spec.hidden_size or 0, spec.heads or 0, spec.kv_heads or 0, spec.head_dim or 0


def _misses_heads(spec: ModelSpec) -> bool:
    hidden, heads, _, head_dim = _shape(spec)
    return not hidden / 2 <= heads * head_dim <= 4 * hidden


def _misses_groups(spec: ModelSpec) -> bool:
    _, heads, kv_heads, _ = _shape(spec)
    return heads % kv_heads != 0


def _misses_count(spec: ModelSpec) -> bool:
    embeddings = (spec.vocab_size or 0) * (spec.hidden_size or 0) * (1 if spec.tied_embeddings else 2)
    return (spec.parameters or 0) < embeddings + (spec.nf4_linear_params or 0)


WRONG: tuple[tuple[Callable[[ModelSpec], bool], str], ...] = (
    (_misses_heads, "heads times head_dim is far from hidden_size"),
    (_misses_groups, "kv_heads does not divide heads"),
    (_misses_count, "parameters is less than embeddings and linear layers together"),
    (lambda spec: bool(spec.config.keys() - STRUCTURE), "config has a key this program does not know"),
    (lambda spec: not spec.lora_targets, "neither it nor [lora_targets] names its linear layers"),
    (lambda spec: spec.quantised is not None, "quantised checkpoints do not belong here"),
)
