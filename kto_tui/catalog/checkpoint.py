"""Checkpoints on this machine: a folder somebody names, or a download in the hub's cache."""

import os
from pathlib import Path

from kto_tui import paths
from kto_tui.catalog.config_file import read_config, untrainable
from kto_tui.catalog.model import ModelSpec
from kto_tui.catalog.packed import read_settings
from kto_tui.catalog.tensors import read_tensors
from kto_tui.catalog.weights import count_weights
from kto_tui.errors import UserError


def read_local(folder: Path) -> ModelSpec:
    """What the config.json and the weight files of a checkpoint folder say.

    Raises:
        UserError: there is no such folder, something in it is broken, or it is nothing this program can train.
    """
    folder = Path(os.path.abspath(os.path.expanduser(folder)))  # noqa: PTH100, PTH111 - pathlib raises on ~nobody
    where = str(folder)
    if not os.path.isdir(folder) and folder.suffix != ".gguf":  # noqa: PTH112 - pathlib raises where it may not look
        raise UserError("There is no such model folder", mend="Check the path or choose a model", where=where)
    tensors = read_tensors(folder)
    if folder.suffix == ".gguf" or (not tensors and any(folder.glob("*.gguf"))):
        raise untrainable("gguf", where)
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise UserError("This is an adapter, not a model", mend="Choose the model it was made for", where=where)
    spec = read_config(folder, ModelSpec(id=where, title=folder.name or where, gated=False))
    if not tensors and not any(folder.glob("pytorch_model*.bin")):
        raise UserError("The model folder holds no weights", mend="Add its *.safetensors files", where=where)
    return count_weights(spec, tensors, where, read_settings(folder))


def read_cached(hub_id: str) -> ModelSpec:
    """What the hub cache says of ``hub_id``; only its name where nothing is there.

    Raises:
        UserError: its config.json is broken, or it is nothing this program can train.
    """
    spec = ModelSpec(id=hub_id, title=hub_id.split("/")[1])
    repo = paths.hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        snapshot = repo / "snapshots" / (repo / "refs" / "main").read_text(encoding="ascii").strip()
        if not (snapshot / "config.json").is_file():
            return spec
    except (OSError, ValueError):
        return spec
    spec = read_config(snapshot, spec)
    try:
        return count_weights(spec, read_tensors(snapshot), str(snapshot), read_settings(snapshot))
    except UserError:  # a download that is not complete yet; the shapes are known all the same
        return spec
