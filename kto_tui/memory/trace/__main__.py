"""``python -m kto_tui.memory.trace --configs FILE.jsonl --json``: predicted beside measured peaks."""

import argparse
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kto_tui.errors import UserError
from kto_tui.large_imports import uncollected
from kto_tui.memory.trace.settings import Measured, numbered_rows


def _lines(found: list[dict[str, object]]) -> str:
    rows = []
    for one in found:
        measured = one["measured_gib"]
        error = "" if not isinstance(measured, float) else f"{float(str(one['predicted_gib'])) / measured - 1:+8.2%}"
        rows.append(f"{one['id']:12} {one['predicted_gib']:8} {measured or 'unknown':>8} {error}")
    return "\n".join(["id           predicted measured   error", *rows])


def _predicted(row: Measured, where: str) -> dict[str, object]:
    from kto_tui.memory.trace.peak import GIB, predict

    try:
        peak = predict(row).peak_bytes
    except UserError as error:
        raise UserError(error.what, mend=error.mend, where=f"{where}, {error.where}") from error
    return {"id": row.id, "predicted_gib": round(peak / GIB, 4), "measured_gib": row.allocated_gib}


def main(argv: Sequence[str] | None = None) -> int:
    """Predict every row of a file; exit code 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m kto_tui.memory.trace", description=__doc__)
    parser.add_argument("--configs", required=True, type=Path, metavar="FILE.jsonl", help="rows of settings")
    parser.add_argument("--json", action="store_true", dest="as_json", help="a JSON list instead of a table")
    args = parser.parse_args(argv)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # kernels that it looks for are not what is traced

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of other libraries: nothing of ours warns
            rows = list(numbered_rows(args.configs))
            with uncollected():  # once: what a row leaves behind is to be collected
                importlib.import_module("kto_tui.memory.trace.peak")
            found = [_predicted(row, f"{args.configs}, line {number}") for number, row in rows]
    except UserError as error:
        print(f"kto-tui: {error}", file=sys.stderr)
        return 2
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode() if args.as_json else _lines(found)
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
