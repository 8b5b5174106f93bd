"""Configurations as mlx-lm reads them: rotary settings where Transformers 5 and mlx-lm look for them, both."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kto_tui.errors import UserError

Config = Mapping[str, Any]

_SCALING = {"rope_theta", "partial_rotary_factor"}
# Gemma 3 has two kinds of layers with rotary settings of their own, which mlx-lm reads under these names.
_BY_KIND = {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"}
# mlx-lm reads the nested table of these, and Transformers could not read a part of it at the top level beside it.
_READ_NESTED = frozenset({"gemma4_text", "gemma4_unified_text"})


def normalised(config: Config) -> dict[str, Any]:
    """``config`` with its rotary settings at the top level too.

    Transformers 5 nests them in ``rope_parameters``; most of mlx-lm's models read ``rope_theta``, ``rope_scaling`` and
    ``partial_rotary_factor`` of the top level alone and fall back to defaults in silence. What is written at the top
    level already wins only where nothing is nested: Transformers reads the nested one. The nested table stays.

    Args:
        config: as in config.json; text models inside a larger one (``text_config``) are treated likewise.
    """
    found = dict(config)
    if isinstance(inner := found.get("text_config"), Mapping):
        found["text_config"] = normalised(inner)
    rope = found.get("rope_parameters")
    if not isinstance(rope, Mapping) or not rope or found.get("model_type") in _READ_NESTED:
        return found
    if any(isinstance(each, Mapping) for each in rope.values()):
        for kind, name in _BY_KIND.items():
            if isinstance(each := rope.get(kind), Mapping) and "rope_theta" in each:
                found[name] = each["rope_theta"]
        if isinstance(full := rope.get("full_attention"), Mapping):
            _lift(found, full, theta=False)
        return found
    _lift(found, rope, theta=True)
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """config.json, normalised.

    Raises:
        UserError: missing or unreadable.
    """
    file = folder / "config.json"
    try:
        return normalised(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        what = "The model folder has no config.json"
        raise UserError(what, mend="Name a Transformers checkpoint", where=str(folder)) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"The model's configuration cannot be read ({error})", mend="Get it again", where=str(file)
        ) from None


def _lift(config: dict[str, Any], rope: Mapping[str, Any], *, theta: bool) -> None:
    if theta and "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope["partial_rotary_factor"]
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        config["rope_scaling"] = None
    else:
        scaling = {name: value for name, value in rope.items() if name not in _SCALING}
        config["rope_scaling"] = {**scaling, "rope_type": kind, "type": kind}
