"""``fuse``: base model and adapter of a run as one Hugging Face folder."""

import argparse
from pathlib import Path

from kto_tui import units
from kto_tui.commands.follow import say
from kto_tui.errors import UserError
from kto_tui.runs.folder import find_run
from kto_tui.runs.fusion import Failed, Fused, Fusion, Update, Wrote


def run(args: argparse.Namespace) -> int:
    """Fuse; returns 0.

    Raises:
        UserError: why not; nothing is left behind.
    """
    found = find_run(args.run)
    last: Update | None = None
    with Fusion(found, Path(args.folder), args.format) as program:
        told = 0
        for last in program:
            if isinstance(last, Wrote):
                told = _progress(last, told)
    match last:
        case Fused():
            for note in last.notes:
                say(f"{note}.")
            say(f"{found.id} and its base model are written to {last.path} ({units.size(last.size_bytes)})")
            return 0
        case Failed(crash="", what=what, mend=mend, where=where):
            raise UserError(what, mend=mend, where=where)
        case Failed(crash=crash):
            raise UserError(crash.rstrip("."), mend="Nothing was written", where=args.folder)
        case _:
            mend = "Try it again where more memory is free"
            raise UserError(f"Fusing ended without a word ({program.ended})", mend=mend, where=args.folder)


def _progress(update: Wrote, told: int) -> int:
    """Say every tenth once; returns the tenths that are said."""
    tenths = update.bytes_done * 10 // max(1, update.bytes_total)
    if told < tenths < 10:
        say(f"{units.size(update.bytes_done)} of {units.size(update.bytes_total)} written")
        return tenths
    return told
