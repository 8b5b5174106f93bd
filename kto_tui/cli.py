"""The ``kto-tui`` command. Argument parsing only: each command imports what it needs when it runs."""

import argparse
import functools
import importlib
import io
import os
import sys
from collections.abc import Sequence

from kto_tui import __version__
from kto_tui.commands.data.arguments import add_data
from kto_tui.commands.life_arguments import LIFE, add_life
from kto_tui.commands.run_arguments import RUN_COMMANDS, add_runs
from kto_tui.flags import FLAGS
from kto_tui.plain import LOOK_ALIKE, ascii_only, escaped

PLANNABLE = frozenset({None, "hardware", "models", "fit"})
# Modules whose ``run`` takes the arguments as they are, by command.
RUN_BY = {
    "data": "kto_tui.commands.data.run",
    "fuse": "kto_tui.commands.fuse",
    **dict.fromkeys(RUN_COMMANDS, "kto_tui.commands.runs"),
}
# What lists something else than a machine's own, and where the parser puts it.
LISTINGS = {"--list": "list_presets", "--cached": "cached"}


class CommandParser(argparse.ArgumentParser):
    """Reads what ``fit`` allows from the recipe's own definition, and that only when help is wanted."""

    def format_help(self) -> str:
        """The help, with the values of each setting."""
        for action in self._actions:
            if (flag := action.dest.replace("_", "-")) in FLAGS:
                from kto_tui.commands.settings import help_line

                action.help = help_line(flag)
        return super().format_help()


def build_parser() -> argparse.ArgumentParser:
    """All commands and flags."""
    parser = argparse.ArgumentParser(
        prog="kto-tui",
        description="Preference-tune a language model with KTO, in the terminal. Without a command: the wizard.",
        epilog="Exit codes: 0 fine, 1 a run failed, 2 bad input.",
    )
    parser.add_argument("--version", action="version", version=f"kto-tui {__version__}")
    plan = functools.partial(
        argparse.ArgumentParser.add_argument,
        metavar="NAME",
        dest="planned_as",
        help="plan for another machine; see kto-tui hardware --list",
    )
    plan(parser, "--as")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=CommandParser)

    demo = commands.add_parser("demo", help="train the starter run (small model, shipped data)")
    demo.add_argument("--headless", action="store_true", help="plain progress lines instead of the wizard")
    train = commands.add_parser("train", help="train what a run file says")
    train.add_argument("file", metavar="RUN.toml")
    train.add_argument("--detach", action="store_true", help="return at once; the run goes on by itself")
    train.add_argument("--trial", action="store_true", help="train on the first 200 mixed rows only")
    attach = commands.add_parser("attach", help="open a run's live screen")
    attach.add_argument("run", metavar="RUN", nargs="?", default="last", help="id, its beginning, folder, or 'last'")
    attach.add_argument("--read-only", action="store_true", help="watch only: no key can touch the run")
    logs = commands.add_parser("logs", help="print a run's log")
    logs.add_argument("run", metavar="RUN")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing as the log grows")
    add_life(commands)
    hardware = commands.add_parser("hardware", help="what this machine is")
    plan(hardware, "--as", default=argparse.SUPPRESS)  # else its own default would hide kto-tui --as NAME hardware
    hardware.add_argument("--list", action="store_true", dest="list_presets", help="machines one can plan for")
    models = commands.add_parser("models", help="the catalog, with a verdict for this machine")
    models.add_argument("--cached", action="store_true", help="what is in the hub's cache instead, and how large")
    fit = commands.add_parser("fit", help="one model: its memory by parts, and the settings that fit")
    fit.add_argument("model", metavar="MODEL", help="a hub id, the address of its page or a folder")
    settings = fit.add_argument_group("settings", "each instead of the proposed one")
    for flag in FLAGS:
        settings.add_argument(f"--{flag}", metavar="VALUE")
    for command in (models, fit):
        plan(command, "--as", default=argparse.SUPPRESS)
        command.add_argument("--method", default="kto", help="training method (default: kto)")
    download = commands.add_parser("download", help="get a model or data set from the hub; an interrupted one goes on")
    download.add_argument("name", metavar="ORG/NAME")
    download.add_argument("--revision", help="branch, tag or commit instead of main")
    download.add_argument("--dataset", action="store_true", help="it is a data set")
    download.add_argument("--config", metavar="NAME", help="of a data set with several")
    download.add_argument("--split", metavar="NAME", help="of a data set, instead of all")
    add_data(commands)
    add_runs(commands)
    doctor = commands.add_parser("doctor", help="what is installed, what is missing, how to mend it")
    for command in (train, hardware, models, fit, download, doctor):
        command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    return parser


def _check_plannable(args: argparse.Namespace) -> None:
    if args.planned_as is None:
        return
    listing = next((flag for flag, name in LISTINGS.items() if getattr(args, name, False)), None)
    if args.command not in PLANNABLE or listing is not None:
        from kto_tui.errors import UserError

        only = "works on this machine only" if listing is None else f"{listing} lists the same for every machine"
        raise UserError(f"{args.command} {only}", mend="Leave --as out", where="--as")


def dispatch(args: argparse.Namespace) -> int:
    """Run the chosen command; returns its exit code."""
    _check_plannable(args)
    match args.command:
        case "hardware":
            from kto_tui.commands.show import hardware

            return hardware(as_json=args.as_json, planned_as=args.planned_as, list_presets=args.list_presets)
        case "demo":
            from kto_tui.commands.train import demo

            return demo(headless=args.headless)
        case "train":
            from kto_tui.commands.train import train

            return train(args.file, detach=args.detach, trial=args.trial, as_json=args.as_json)
        case "logs":
            from kto_tui.commands.show import logs

            return logs(args.run, keep_following=args.follow)
        case command if command in LIFE:
            from kto_tui.commands.life import life

            return life(args)
        case "download":
            from kto_tui.commands import hub

            part = (args.config, args.split)
            return hub.download(args.name, args.revision, *part, dataset=args.dataset, as_json=args.as_json)
        case "models" if args.cached:
            from kto_tui.commands import hub

            return hub.cached(as_json=args.as_json)
        case "models":
            from kto_tui.commands.fit import models

            return models(args.planned_as, args.method, as_json=args.as_json)
        case "fit":
            from kto_tui.commands.fit import fit

            chosen = {flag: getattr(args, flag.replace("-", "_")) for flag in FLAGS}
            given = {flag: value for flag, value in chosen.items() if value is not None}
            return fit(args.model, args.planned_as, args.method, given, as_json=args.as_json)
        case "doctor":
            from kto_tui.commands.show import doctor

            return doctor(as_json=args.as_json)
        case command if command in RUN_BY:
            return int(importlib.import_module(RUN_BY[command]).run(args))
        case _:
            return _open_tui(args)


def _open_tui(args: argparse.Namespace) -> int:
    from kto_tui.errors import UserError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "The wizard needs a terminal",
            mend="Run it in one, or use kto-tui train RUN.toml, kto-tui demo --headless or kto-tui runs",
        )
    from kto_tui.large_imports import uncollected

    with uncollected():
        from kto_tui.tui.app import run_live, run_wizard

    if args.command == "attach":
        return run_live(args.run, read_only=args.read_only)
    return run_wizard(planned_as=args.planned_as)


def _give_up_output() -> None:
    """Nothing more is written to standard output, nor complained of when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _output_trouble() -> str | None:
    """Why standard output takes nothing, because of a full disk say; None where it takes an empty line."""
    try:
        print(flush=True)
    except OSError as error:
        _give_up_output()
        return error.strerror
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: exit code 0 fine, 1 failed run, 2 bad input."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in streams:
        stream.reconfigure(errors=LOOK_ALIKE)  # a terminal without UTF-8 gets what it can show, not a crash
    args = build_parser().parse_args(argv)
    for stream in streams:
        if stream is sys.stdout and getattr(args, "as_json", False):
            stream.reconfigure(encoding="utf-8")  # JSON is for programs, whatever the terminal shows
        elif ascii_only():
            stream.reconfigure(encoding="ascii", errors=LOOK_ALIKE)
    from kto_tui.errors import UserError

    try:
        code = dispatch(args)
        sys.stdout.flush()  # while what goes wrong can still be told
    except UserError as error:
        print(f"kto-tui: {escaped(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _give_up_output()  # the reader went away (a pager was closed): not an error of ours
        return 0
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, the traceback goes to a file
        if isinstance(error, OSError) and error.filename is None and (why := _output_trouble()):
            print(f"kto-tui: Standard output cannot be written ({why}).", file=sys.stderr)
            return 1
        from kto_tui.crash import record

        print(f"kto-tui: {escaped(record(error))}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
