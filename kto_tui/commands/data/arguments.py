"""The flags of ``kto-tui data``; imports nothing of ours, for the parser."""

import argparse
from typing import Any

READING = {
    "shape": ("NAME", "of the records, instead of the recognised one"),
    "map": (
        "COL=ROLE,...",
        "what columns hold: prompt, completion, label, system, messages, ...; the others are ignored",
    ),
    "good": ("VALUE,...", "values of the label column that mean desirable"),
    "bad": ("VALUE,...", "values of the label column that mean undesirable"),
    "threshold": ("N", "ratings from N on are desirable"),
    "encoding": ("NAME", "of a text file, instead of the one that was found out"),
    "config": ("NAME", "of a data set with several"),
    "split": ("NAME", "of a data set with several"),
}
DECIDING = {
    "fix": ("ID,...", "checks whose offered fix is accepted"),
    "heldout": ("FILE", "file whose rows must not be trained on"),
}
TARGETS = ("trl", "trl-text", "mlx", "sharegpt", "openai", "alpaca", "transcript")


def add_data(commands: Any) -> None:  # noqa: ANN401 - argparse's own type of it is private
    """``data check``, ``data convert`` and ``data show``."""
    data = commands.add_parser("data", help="check, convert and show feedback files of any kind")
    parsers = data.add_subparsers(dest="data_command", metavar="COMMAND", required=True)
    check = parsers.add_parser(
        "check",
        help="what is in a file, what is wrong with it, what to do",
        epilog="Exit codes: 0 it can be trained on, 1 it cannot yet (or there are warnings and --strict), 2 bad input.",
    )
    convert = parsers.add_parser("convert", help="write its rows as KTO data of another kind")
    show = parsers.add_parser("show", help="one row, as it was found and as it is read")
    for parser in (check, convert, show):
        parser.add_argument("path", metavar="PATH", help="a file, a folder, or ORG/NAME of a downloaded data set")
    convert.add_argument("out", metavar="OUT", help="new file, .jsonl or .parquet")
    convert.add_argument(
        "--to", choices=TARGETS, default="trl", metavar="KIND", help=f"{', '.join(TARGETS)} (default: trl)"
    )
    convert.add_argument("--force", action="store_true", help="replace OUT where it exists")
    show.add_argument("--row", type=int, required=True, metavar="N", help="its number, counted from 1")
    check.add_argument(
        "--method", choices=("kto", "sft"), default="kto", help="that is to train on it (default: kto); sft imitates"
    )
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.add_argument("--full", action="store_true", help="the dear checks look at every row, not at a sample")
    for parser in (check, show):
        parser.add_argument("--tokenizer", metavar="MODEL", help="a model that is here, whose tokenizer counts")
    for parser in (check, convert, show):
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    for parser in (check, convert, show):
        _add(parser, "reading", READING)
    for parser in (check, convert, show):
        parser.add_argument(
            "--unlabelled",
            choices=("refuse", "good"),
            default="refuse",
            help="what rows without a label are: refuse them (default), or good answers to imitate",
        )
    for parser in (check, convert):
        _add(parser, "deciding", DECIDING)


def _add(parser: argparse.ArgumentParser, title: str, flags: dict[str, tuple[str, str]]) -> None:
    group = parser.add_argument_group(title)
    for name, (metavar, meaning) in flags.items():
        group.add_argument(f"--{name}", metavar=metavar, help=meaning)
