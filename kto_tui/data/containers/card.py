"""The configs that the header of a folder's README lists."""

import itertools
import os
import re
from pathlib import Path

import msgspec

from kto_tui.data.containers.kind import place, quoted
from kto_tui.data.containers.stream import Source
from kto_tui.errors import UserError
from kto_tui.repository import CARD, Config

_CONFIGS = re.compile(r"^configs:.*\n(?:(?:[ \t-].*)?\n)*", re.MULTILINE)
_README_BYTES = 4 << 20
_CONFIGS_CHARACTERS = 64 * 1024


def read_card(folder: Path) -> list[Config]:
    """What ``configs:`` of the README lists; empty where it lists nothing.

    Raises:
        UserError: the list, or a part of it, cannot be read, or it names files outside the folder.
    """
    import yaml

    readme = folder / CARD
    if not os.path.isfile(readme):  # noqa: PTH113 - pathlib raises where it may not look
        return []
    with Source(readme) as source:
        text = source.raw.read(_README_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    _, _, header = text.partition("---\n") if text.startswith("---\n") else ("", "", "")
    # Only this part: the other metadata may run to megabytes, and need not even be valid.
    found = _CONFIGS.search(header.partition("\n---")[0] + "\n")
    if found is None:
        return []
    if len(found[0]) > _CONFIGS_CHARACTERS:
        raise _bad(readme, "is too long")
    try:
        configs = msgspec.convert(yaml.safe_load(found[0])["configs"] or [], list[Config])
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise _bad(readme, f"cannot be read ({' '.join(str(error).split())[:120]})") from None
    for config in configs:
        for path in (config.data_dir or "", *itertools.chain(*config.globs().values())):
            if "://" in path or ".." in path.split("/") or path.startswith("/"):
                raise _bad(readme, f"names files outside the folder ({quoted(path)})")
    return configs


def _bad(readme: Path, why: str) -> UserError:
    mend = "Correct it, or name a file of the folder"
    return UserError(f"The list of configs {why}", mend=mend, where=place(readme))
