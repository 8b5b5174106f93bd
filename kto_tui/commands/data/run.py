"""Runs what was typed after ``kto-tui data``."""

import argparse
from pathlib import Path

from kto_tui.choices import DataChoices
from kto_tui.commands.data.asked import choices_of, source_of
from kto_tui.errors import UserError


def run(args: argparse.Namespace) -> int:
    """``data check``, ``data convert`` or ``data show``; 0 fine, 1 what was checked cannot be trained on yet.

    Raises:
        UserError: the data cannot be read, or not without further flags.
    """
    choices = choices_of(args)
    data = source_of(args.path, choices)
    match args.data_command:
        case "check":
            from kto_tui.commands.data.check import check

            how = {"method": args.method, "full": args.full, "strict": args.strict, "as_json": args.as_json}
            return check(args.path, data, choices, _heldout(args, choices), args.tokenizer, **how)
        case "convert":
            from kto_tui.commands.data.convert import convert

            how = {"force": args.force, "as_json": args.as_json}
            return convert(data, Path(args.out), choices, _heldout(args, choices), args.to, **how)
        case _:
            from kto_tui.commands.data.show import show

            return show(data, args.row, choices, args.tokenizer, as_json=args.as_json)


def _heldout(args: argparse.Namespace, choices: DataChoices) -> str | None:
    if args.heldout is not None:
        return source_of(args.heldout, DataChoices())
    if "heldout_overlap" in choices.fixes:
        mend = "Name the file with --heldout FILE"
        raise UserError("Nothing is held out", mend=mend, where="--fix heldout_overlap")
    return None
