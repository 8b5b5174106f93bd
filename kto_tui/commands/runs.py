"""Commands on runs as records: list, title, tags, note, comparison, export, report."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from kto_tui import units
from kto_tui.commands.follow import say
from kto_tui.commands.printing import print_json, print_table
from kto_tui.plain import ascii_only, escaped
from kto_tui.runs import compare as comparison
from kto_tui.runs.about import change_about, check_tags, read_about
from kto_tui.runs.export import write_csv, write_json, write_new
from kto_tui.runs.folder import RunFolder, find_run, without_a_word
from kto_tui.runs.heldout_words import figure
from kto_tui.runs.overview import Overview, RunSummary, shape
from kto_tui.runs.page import write_page
from kto_tui.runs.png import to_png
from kto_tui.runs.reading import Reading
from kto_tui.tui.widgets.sparkline import sparkline

SHAPE_CELLS = 16


def run(args: argparse.Namespace) -> int:
    """Carry out the command; returns its exit code."""
    return _COMMANDS[args.command](args)


def _runs(args: argparse.Namespace) -> int:
    found = Overview().refresh()
    if args.as_json:
        print_json(found)
    elif not found:
        say("No runs yet. Start one with: kto-tui demo")
    else:
        rows = [_cells(one) for one in found]
        print_table([*rows[0]], [[*row.values()] for row in rows])
        if died := [RunFolder(Path(one.path)) for one in found if one.state == "died"]:
            say(without_a_word(died))
    return 0


def _cells(one: RunSummary) -> dict[str, str]:
    started = units.UNKNOWN if one.started is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started))
    return {
        "Run": one.id,
        "State": one.state,
        "Step": f"{one.step}/{one.total_steps or '?'}",
        "Loss": units.metric(one.loss),
        "Held-out": figure(one.heldout_accuracy, one.heldout_loss),
        "Best": figure(one.heldout_best, one.heldout_loss_best),
        "Margin or loss": sparkline(one.shape, SHAPE_CELLS, ascii_only()),
        "Size": units.size(one.size_bytes),
        "tok/s": units.metric(one.tokens_per_second, 0),
        "Started": started,
        "Title and tags": " ".join([one.title, *(f"#{tag}" for tag in one.tags)]).strip(),
    }


def _rename(args: argparse.Namespace) -> int:
    found = find_run(args.run)
    about = change_about(found.about, title=args.title)
    say(f"{found.id} is called {about.title}" if about.title else f"{found.id} has no title")
    return 0


def _tag(args: argparse.Namespace) -> int:
    found = find_run(args.run)
    about, given = read_about(found.about), check_tags(args.tags)
    if args.remove:
        about = change_about(found.about, tags=[tag for tag in about.tags if given and tag not in given])
    elif given:
        about = change_about(found.about, tags=(*about.tags, *given))
    say(" ".join(about.tags) or f"{found.id} has no tags")
    return 0


def _note(args: argparse.Namespace) -> int:
    found = find_run(args.run)
    about = read_about(found.about) if args.text is None else change_about(found.about, note=args.text)
    say(about.note or f"{found.id} has no note")
    return 0


def _compare(args: argparse.Namespace) -> int:
    readings = [Reading(found) for found in comparison.chosen(args.runs)]
    for one in readings:
        one.read()
    if target := args.svg or args.png:
        return _picture(target, comparison.picture(readings), as_png=args.svg is None, force=args.force)
    outcomes, unlike = [comparison.outcome(one) for one in readings], comparison.differences(readings)
    if args.as_json:
        print_json({"runs": outcomes, "differences": unlike})
        return 0
    rows = [comparison.outcome_rows(one) for one in outcomes]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    table["Loss curve"] = [sparkline(shape(one.curves.steps["loss"]), SHAPE_CELLS, ascii_only()) for one in readings]
    columns = [escaped(one.name) for one in readings]
    print_table(["Outcome", *columns], [[name, *cells] for name, cells in table.items()], spare=())
    say()
    if unlike:
        cells = [[name, *(escaped(value) for value in values)] for name, values in unlike.items()]
        print_table(["Differs in", *columns], cells, spare=())
    else:
        say("Their choices are the same.")
    say("Loss, margin and KL are means of the last tenth of the steps.")
    return 0


def _export(args: argparse.Namespace) -> int:
    found = find_run(args.run)
    if target := args.csv or args.json:
        write = write_json if args.csv is None else write_csv
        write_new(Path(target), lambda file: write(found, file), force=args.force)
        say(f"every logged step of {found.id} written to {target}")
        return 0
    reading = Reading(found)
    reading.read()
    return _picture(args.svg or args.png, comparison.run_picture(reading), as_png=args.svg is None, force=args.force)


def _picture(target: str, svg: str, *, as_png: bool, force: bool) -> int:
    content = to_png(svg) if as_png else svg.encode()
    write_new(Path(target), lambda file: file.writelines([content]), force=force)
    say(f"curves written to {target}")
    return 0


def _report(args: argparse.Namespace) -> int:
    found = find_run(args.run)
    page, picture = write_page(found, Path(args.output or f"{found.id}.md"), force=args.force)
    say(f"report on {found.id} written to {page}, its curves to {picture}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "runs": _runs,
    "rename": _rename,
    "tag": _tag,
    "note": _note,
    "compare": _compare,
    "export": _export,
    "report": _report,
}
