"""Where rows come from: the shipped starter set, a file, a folder, or a data set of the hub that is here."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.behaviour import Behaviour, read_behaviour
from kto_tui.data.report import Progressed
from kto_tui.data.rows import Dataset
from kto_tui.errors import UserError
from kto_tui.paths import presets
from kto_tui.repository import read_part

STARTER = "starter"


class Source(msgspec.Struct, frozen=True):
    """A data set, its own held-out rows if it brings any, and the behaviour it teaches if that can be measured."""

    dataset: Dataset
    heldout: Dataset | None = None
    behaviour: Behaviour | None = None


def starter_folder() -> Path:
    """Folder of the shipped starter set."""
    return presets() / "data" / "direct-answers"


def locate(data: str) -> tuple[Path, DataChoices]:
    """The path behind what a person wrote, and what of a folder ``#SPLIT`` or ``#CONFIG/SPLIT`` behind it chooses."""
    if not data:  # which would be the current folder
        raise UserError("No data file is named", mend="Name a file or a folder", where="data")
    path = os.path.expanduser(data)  # noqa: PTH111 - pathlib raises on ~nobody
    folder, mark, part = path.rpartition("#")
    if not mark or os.path.lexists(path) or not os.path.isdir(folder):  # noqa: PTH112 - and on names that are too long
        return Path(path), DataChoices()
    config, split = read_part(part)
    return Path(folder), DataChoices(config=config, split=split)


def for_training(data: str, choices: DataChoices) -> tuple[Path, DataChoices]:
    """Path and choices of the rows that are trained on."""
    path, part = locate(data)
    return path, msgspec.structs.replace(
        choices, config=part.config or choices.config, split=part.split or choices.split
    )


def for_heldout(heldout: str, choices: DataChoices) -> tuple[Path, DataChoices]:
    """Path and choices of a held-out file: read as the training file is, nothing done about its rows."""
    path, part = locate(heldout)
    return path, msgspec.structs.replace(
        choices, config=part.config, split=part.split, fixes=(), excluded=(), flipped=()
    )


def quietly(_: Progressed) -> None:
    """Tells nobody."""


def open_source(
    data: str,
    heldout: str | None = None,
    choices: DataChoices = DataChoices(),  # noqa: B008 - frozen
    tell: Callable[[Progressed], None] = quietly,
) -> Source:
    """The rows behind ``data`` (``starter`` or a path), as ``choices`` say.

    Raises:
        UserError: the source cannot be read; a row cannot be trained on and nobody accepted to leave it out; the
            polarity of its labels was inferred and not confirmed; a held-out file in another form.
    """
    from kto_tui.data.opening import open_dataset

    if data == STARTER:
        folder = starter_folder()
        files = (folder / "train.jsonl", folder / "heldout.jsonl")
        train, held = (open_dataset(file, DataChoices(), tell) for file in files)
        return Source(train, held, read_behaviour(folder / "behaviour.toml"))
    if heldout is None:
        return Source(open_dataset(*for_training(data, choices), tell))
    apart = for_heldout(heldout, choices)
    held = open_dataset(*apart, tell, apart=True)
    dataset = open_dataset(*for_training(data, choices), tell, heldout=apart)
    if held.chat != dataset.chat:
        raise UserError(
            "The held-out file and the training file differ in form: one is text, the other chat",
            mend="Write both in the same form",
            where=heldout,
        )
    return Source(dataset, held)
