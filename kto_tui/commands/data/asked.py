"""What was typed after ``kto-tui data``, as a place and as choices."""

import argparse
import codecs
import math
from pathlib import Path
from typing import cast, get_args

from kto_tui.choices import DataChoices, Role
from kto_tui.data.sources import STARTER, starter_folder
from kto_tui.data_here import path_of
from kto_tui.errors import UserError


def choices_of(args: argparse.Namespace) -> DataChoices:
    """The choices that the flags make.

    Raises:
        UserError: a flag has no value, or one that means nothing.
    """
    return DataChoices(
        shape=args.shape,
        columns={name: _role(name, role) for name, role in map(_pair, _list(args.map, "--map"))},
        good=_list(args.good, "--good"),
        bad=_list(args.bad, "--bad"),
        threshold=_number(args.threshold),
        encoding=_codec(args.encoding),
        config=args.config,
        split=args.split,
        unlabelled=args.unlabelled,
        fixes=_list(getattr(args, "fix", None), "--fix"),
    )


def _list(text: str | None, flag: str) -> tuple[str, ...]:
    """Values between commas; of a comma that belongs to a value ``\\,`` is written."""
    if text is None:
        return ()
    found = tuple(one.replace("\0", ",").strip() for one in text.replace("\\,", "\0").split(","))
    if not all(found):
        raise UserError("A value is empty", mend="Write one or several with commas between them", where=flag)
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, role = text.rpartition("=")
    return name.strip(), role.strip()


def _role(name: str, role: str) -> Role:
    known = get_args(Role)
    if not name or role not in known:
        what = f"{role!r} is nothing that a column can hold" if name else f"{role!r} names no column and what it holds"
        raise UserError(what, mend=f"Write COLUMN=ROLE with one of {', '.join(known)}", where="--map")
    return cast("Role", role)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{text!r} is no number", mend="Give the lowest rating that is good", where="--threshold")
    return found


def _codec(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        what = f"Python knows no encoding {name!r}"
        raise UserError(what, mend="Name another, utf-8, cp1252 or utf-16 say", where="--encoding") from None


def source_of(text: str, choices: DataChoices) -> str:
    """What was typed, as a place on this machine: a data set of the hub is where its download put it.

    Raises:
        UserError: that data set is not downloaded.
    """
    if text == STARTER and not Path(text).exists():
        return str(starter_folder() / "train.jsonl")
    return path_of(text, choices.config, choices.split)
