"""Where rows come from: the shipped starter set or a file."""

import os
from pathlib import Path

import msgspec

from kto_tui.data.behaviour import Behaviour, read_behaviour
from kto_tui.data.rows import Dataset, read_rows
from kto_tui.errors import UserError
from kto_tui.paths import presets

STARTER = "starter"


class Source(msgspec.Struct, frozen=True):
    """A data set, its own held-out rows if it brings any, and the behaviour it teaches if that can be measured."""

    dataset: Dataset
    heldout: Dataset | None = None
    behaviour: Behaviour | None = None


def starter_folder() -> Path:
    """Folder of the shipped starter set."""
    return presets() / "data" / "direct-answers"


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib raises on ~nobody


def open_source(data: str, heldout: str | None = None) -> Source:
    """Read and check the rows behind ``data`` (``starter`` or a path).

    Raises:
        UserError: as ``read_rows``; a held-out file in another form than the training file.
    """
    if data == STARTER:
        folder = starter_folder()
        return Source(
            read_rows(folder / "train.jsonl"),
            read_rows(folder / "heldout.jsonl"),
            read_behaviour(folder / "behaviour.toml"),
        )
    dataset = read_rows(_path(data))
    if heldout is None:
        return Source(dataset)
    held = read_rows(_path(heldout))
    if isinstance(held.rows[0].prompt, str) != isinstance(dataset.rows[0].prompt, str):
        raise UserError(
            "The held-out file and the training file differ in form: one is text, the other chat",
            mend="Write both in the same form",
            where=heldout,
        )
    return Source(dataset, held)
