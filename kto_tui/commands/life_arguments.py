"""The flags of what is done to a run while it lives and after; imports nothing of ours, for the parser."""

from typing import Any

LIFE = frozenset({"resume", "pause", "stop", "delete", "set", "mark"})


def add_life(commands: Any) -> None:  # noqa: ANN401 - argparse's own type of it is private
    """``resume``, ``pause``, ``stop``, ``delete``, ``set`` and ``mark``."""
    helps = {
        "resume": "let a run go on that was paused or stopped, has failed or ended without a word",
        "pause": "ask a run to save a checkpoint and end, to go on later",
        "stop": "ask a run to save its adapter and end",
        "delete": "delete a run with all it has saved",
        "set": "change a setting of a run from its next step on",
        "mark": "note a remark at the step a run is at",
    }
    parsers = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    for parser in parsers.values():
        parser.add_argument("run", metavar="RUN", help="id, its beginning, or 'last'")
    parsers["resume"].add_argument("--detach", action="store_true", help="return at once; the run goes on by itself")
    parsers["stop"].add_argument("--abort", action="store_true", help="end without saving")
    parsers["delete"].add_argument("--yes", action="store_true", help="without asking")
    parsers["set"].add_argument("name", metavar="NAME", help="log_every, learning_rate_scale, stop_after, ...")
    parsers["set"].add_argument("value", metavar="VALUE", help="'' for as planned")
    parsers["mark"].add_argument("text", metavar="TEXT")
