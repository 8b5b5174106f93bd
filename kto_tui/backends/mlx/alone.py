"""What mlx-lm would not find by itself in a checkpoint's config.json, and kto-tui tells it while loading."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.utils import _get_classes

from kto_tui.backends.mlx.rope import normalised
from kto_tui.catalog.mlx import TEXT_MODELS

Config = Mapping[str, Any]


def unfound(folder: Path) -> dict[str, Any]:
    """Entries of config.json that mlx-lm needs besides, to make of the checkpoint the model that was trained.

    Those of the rotary settings count only where the architecture reads them there, and nowhere else: the model is
    built from both configurations, without weights, and compared.

    Raises:
        OSError, ValueError: config.json cannot be read.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = config["model_type"]
    named = config | {"model_type": TEXT_MODELS.get(kind, kind)}
    told = normalised(named)
    found = {} if named["model_type"] == kind else {"model_type": named["model_type"]}
    if told != named and not _alike(_settings(named), _settings(told)):
        found |= _added(named, told)
    return found


def _settings(config: Config) -> dict[str, Any] | None:
    """What modules hold besides weights, as the base of their rotary positions; None where none can be built.

    MLX draws the random numbers of their weights when somebody asks for them, and nobody does.
    """
    try:
        model_class, args_class = _get_classes(dict(config))
        model = model_class(args_class.from_dict(json.loads(json.dumps(config))))  # some change what they are given
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None
    return {
        f"{name}.{key}": value
        for name, module in model.named_modules()
        for key, value in (vars(module) | {key: each for key, each in module.items() if key.startswith("_")}).items()
        if isinstance(value, bool | int | float | str | mx.array)
    }


def _alike(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    if one is None or other is None or one.keys() != other.keys():
        return False
    return all(np.array_equal(np.array(value), np.array(other[name])) for name, value in one.items())


def _added(config: Config, told: Config) -> dict[str, Any]:
    """What ``told`` has that ``config`` has not, within its tables too."""
    return {
        name: _added(config[name], value) if isinstance(config.get(name), Mapping) and name == "text_config" else value
        for name, value in told.items()
        if name not in config or config[name] != value
    }
