"""The base model of a run: where it lies now, its configuration, and how MLX has quantised it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kto_tui.backends.training.reference import model_fingerprint
from kto_tui.catalog.mlx import gguf_refusal
from kto_tui.errors import UserError
from kto_tui.hub.cache import cached
from kto_tui.runs.checkpoints import newest_valid
from kto_tui.runs.config import RunConfig
from kto_tui.runs.folder import RunFolder
from kto_tui.starter import MODEL_ID, starter_model_folder

# Layouts of weights that are told in config.json under this name are MLX's own.
QUANTIZATION = "quantization"


def base_folder(config: RunConfig, adapter: dict[str, Any]) -> Path:
    """Where the run's base model lies: where it was read from, or where its model is now.

    Raises:
        UserError: it is not on this machine any more.
    """
    recorded = Path(str(adapter.get("base_model_name_or_path") or config.model)).expanduser()
    if (recorded / "config.json").is_file():
        return recorded
    if config.model == MODEL_ID and (starter_model_folder() / "config.json").is_file():
        return starter_model_folder()
    if "/" in config.model and not config.model.startswith(("/", "~")):
        here = cached(config.model)
        if here is not None and here.main is not None and here.complete:
            return Path(here.main.path)
        mend = f"Get it again with: kto-tui download {config.model}"
    else:
        mend = "Bring its folder back"
    raise UserError("The base model is not here any more", mend=mend, where=str(recorded))


def check_same(run: RunFolder, base: Path) -> None:
    """Refuse a base model that is not the one ``run`` was trained on, as far as its checkpoints tell.

    Raises:
        UserError: it is another.
    """
    newest, _ = newest_valid(run)
    trained_on = None if newest is None else newest.manifest.fingerprints.get("model")
    if trained_on is not None and trained_on != model_fingerprint(base, strict=False):
        what = "The base model has changed since the run was trained on it"
        raise UserError(what, mend="Bring back the one that it was", where=str(base))


def quantization_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """MLX's settings of quantised weights; None where MLX has not quantised them."""
    found = config.get(QUANTIZATION)
    return found if isinstance(found, Mapping) and {"bits", "group_size"} <= found.keys() else None


def no_gguf(config: Mapping[str, Any], run: str) -> UserError:
    """Why no GGUF file is written, and the way to one.

    mlx-lm's exporter drops the pre-tokenizer and the chat template; llama.cpp's converter keeps both.
    """
    return gguf_refusal(quantization_of(config) is not None) or UserError(
        "No GGUF files are written here",
        mend=f"Write a Hugging Face folder (kto-tui fuse {run} FOLDER), then convert that with llama.cpp's "
        "convert_hf_to_gguf.py FOLDER",
        where="--format gguf",
    )
