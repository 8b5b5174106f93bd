"""Follows a run with plain lines: for pipes, logs and people who like them."""

import sys
import textwrap
import time

from kto_tui.runs import launch
from kto_tui.runs.events import Tail
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.report import answers_side_by_side, event_line, summary_lines
from kto_tui.runs.state import RunState, fold

POLL_SECONDS = 0.3
ENDINGS = {"finished", "stopped", "paused", "failed", "died", "unknown"}


def say(text: str = "") -> None:
    """One line to standard output, at once."""
    print(text, flush=True)


def follow(run: RunFolder, *, quiet: bool = False) -> RunState:
    """Print events as they arrive until the run is over.

    Ctrl-C asks the run to stop and save; a second Ctrl-C leaves it running.
    """
    tail, state, asked = Tail(run.events), RunState(), False
    while True:
        try:
            alive = run.alive()
            events = tail.read()
            for event in events:
                state = fold(state, [event])
                if not quiet and (line := event_line(event, state)) is not None:
                    say(line)
            if not events and (run.status(state) in ENDINGS) and (state.ended is not None or alive is not True):
                return state
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if asked:
                say(f"left running; come back with: kto-tui attach {run.id}")
                return state
            asked = launch.ask(run, "stop")
            say("stopping after this step and saving; press Ctrl-C again to leave it running instead")


def report(run: RunFolder, state: RunState) -> int:
    """Print how the run went; returns the exit code."""
    word = run.status(state)
    if word not in ENDINGS:
        return 0
    say()
    for line in summary_lines(state):
        say(line)
    for prompt, base, tuned in answers_side_by_side(state):
        say()
        for title, text in (("ask  ", prompt), ("base ", base), ("tuned", tuned)):
            say(textwrap.fill(text, width=100, initial_indent=f"  {title}  ", subsequent_indent=" " * 9))
    say()
    if word == "died":
        for line in run.log_tail(5):
            print(f"  {line}", file=sys.stderr)
        print(f"{run.id}: the worker is gone without a last word; its log is {run.log}", file=sys.stderr)
        return 1
    if state.ended is not None and word == "failed":
        print(state.ended.message, file=sys.stderr)
        return 2 if state.ended.bad_input else 1
    if state.adapter is not None:
        say(f"run {run.id} {word}; adapter in {state.adapter.path}")
    else:
        say(f"run {run.id} {word}")
    return exit_code(run, state)


def exit_code(run: RunFolder, state: RunState) -> int:
    """0 fine or still running, 1 the run failed or died, 2 it failed because of its input."""
    word = run.status(state)
    if word == "failed" and state.ended is not None:
        return 2 if state.ended.bad_input else 1
    return 1 if word == "died" else 0
