"""The flags of the commands on runs as records; imports nothing of ours, for the parser."""

from typing import Any

RUN_COMMANDS = frozenset({"runs", "rename", "tag", "note", "compare", "export", "report"})
RUN = "its id, title or the beginning of either, or 'last'"
FORMATS = ("csv", "json", "svg", "png")


def add_runs(commands: Any) -> None:  # noqa: ANN401 - argparse's own type of it is private
    """``runs``, what renames and marks them, and what makes files of them."""
    runs = commands.add_parser("runs", help="all runs, newest first")
    rename = commands.add_parser("rename", help="give a run a title; its id stays")
    tag = commands.add_parser("tag", help="add tags to a run, or show them")
    note = commands.add_parser("note", help="write a note on a run, or show it")
    for parser in (rename, tag, note):
        parser.add_argument("run", metavar="RUN", help=RUN)
    rename.add_argument("title", metavar="TITLE", help="empty: none")
    tag.add_argument("tags", metavar="TAG", nargs="*")
    tag.add_argument("--remove", action="store_true", help="take these tags away; all without TAG")
    note.add_argument("text", metavar="TEXT", nargs="?", help="empty: none")

    compare = commands.add_parser("compare", help="two to six runs: where they differ, what came out")
    compare.add_argument("runs", metavar="RUN", nargs="+", help=RUN)
    export = commands.add_parser("export", help="every logged step of a run, or a picture of its curves")
    export.add_argument("run", metavar="RUN", help=RUN)
    report = commands.add_parser("report", help="one page on a run, as Markdown")
    report.add_argument("run", metavar="RUN", help=RUN)
    fuse = commands.add_parser("fuse", help="base model and adapter of a run as one Hugging Face folder")
    fuse.add_argument("run", metavar="RUN", help=RUN)
    fuse.add_argument("folder", metavar="FOLDER", help="new or empty")
    fuse.add_argument(
        "--format", choices=("hf", "gguf"), default="hf", help="gguf: says how to get there (default: hf)"
    )
    report.add_argument("--output", metavar="FILE.md", help="instead of RUN.md; its curves go beside it as SVG")

    for parser, formats in ((export, FORMATS), (compare, FORMATS[2:])):
        where = parser.add_mutually_exclusive_group(required=parser is export)
        for name in formats:
            where.add_argument(f"--{name}", metavar="FILE", help=f"write {name.upper()}")
    for parser in (compare, export, report):
        parser.add_argument("--force", action="store_true", help="replace files that exist")
    for parser in (runs, compare):
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
