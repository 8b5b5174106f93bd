"""A data set of the hub is fetched before it is read; where it has several parts somebody says which."""

from collections.abc import Callable
from typing import Any

from textual.app import App

from kto_tui.hub.cache import cached_dataset
from kto_tui.hub.data_files import dataset_id
from kto_tui.hub.request import Request
from kto_tui.hub.updates import Done, Failed
from kto_tui.repository import read_part
from kto_tui.tui.screens.dialogs import ChooseDialog
from kto_tui.tui.screens.download import DownloadDialog


def when_here(app: App[Any], data: str, go_on: Callable[[str], object], complain: Callable[[str], object]) -> None:
    """Call ``go_on`` with the name to read, once it is on this machine; ``complain`` with a sentence if it cannot be.

    Args:
        app: asks the questions.
        data: a path, or a data set of the hub as ``org/name``, ``org/name#SPLIT`` or ``org/name#CONFIG/SPLIT``.
        go_on: called with ``data``, or the name it has by now.
        complain: called when the download failed.
    """
    asked = request_of(data)
    if asked is None or cached_dataset(asked.id, config=asked.config, split=asked.split) is not None:
        go_on(data)
        return

    fields: dict[str, Any] = {"repo_type": "dataset", "id": asked.id, "config": asked.config, "split": asked.split}

    def again(changes: dict[str, str]) -> None:
        when_here(app, name_of(Request(**{**fields, **changes})), go_on, complain)

    def arrived(outcome: Done | Failed | str | None) -> None:
        match outcome:
            case Done():
                go_on(data)
            case str():
                again({"id": outcome})
            case Failed(choices=known, part=part) if known:

                def chosen(one: str | None) -> None:
                    if one is not None:
                        again({part: one})

                app.push_screen(
                    ChooseDialog(f"Which {part} of {asked.id}?", dict(zip(known, known, strict=True)), known[0]), chosen
                )
            case Failed():
                complain(f"{outcome.message}. {outcome.mend}.")

    app.push_screen(DownloadDialog(asked), arrived)


def request_of(data: str) -> Request | None:
    """What must be on this machine to read ``data``; None for a path."""
    name, _, part = data.partition("#")
    config, split = read_part(part)
    found = dataset_id(name)
    if found is None:
        return None
    return Request(id=found, repo_type="dataset", config=config, split=split)


def name_of(asked: Request) -> str:
    """The name that ``request_of`` reads as ``asked``."""
    part = f"{asked.config}/" if asked.config else ""
    part += asked.split or ""
    return f"{asked.id}#{part}" if part else asked.id
