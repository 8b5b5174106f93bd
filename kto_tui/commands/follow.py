"""Follows a run with plain lines: for pipes, logs and people who like them."""

import sys
import textwrap
import time

from kto_tui.runs import launch
from kto_tui.runs.event_log import Tail
from kto_tui.runs.folder import RunFolder, without_a_word
from kto_tui.runs.report import answers_side_by_side, event_line, summary_lines
from kto_tui.runs.state import OVER, RunState, fold

POLL_SECONDS = 0.3
# A supervisor asks the GPU's driver first, then looks at the queue.
QUEUE_SECONDS = 10.0


def say(text: str = "") -> None:
    """One line to standard output, at once."""
    print(text, flush=True)


def say_started(run: RunFolder, what: str, *, detach: bool) -> None:
    """That a run was started, and where nobody will follow it, what it waits for and how to see it."""
    say(f"run {run.id} {what} in {run.path}")
    if detach:
        if (waits := launch.queued(run, QUEUE_SECONDS)) is not None:
            say(str(event_line(waits, RunState())))
        say(f"see it with: kto-tui attach {run.id}")


def so_far(run: RunFolder) -> tuple[Tail, RunState]:
    """What a run has written, to follow it from here."""
    tail, state = Tail(run.events), RunState()
    while events := tail.read():
        state = fold(state, events)
    return tail, state


def follow(run: RunFolder, *, quiet: bool = False, before: tuple[Tail, RunState] | None = None) -> RunState:
    """Print events as they arrive until the run is over; of a run that went on, those after ``before``.

    Ctrl-C asks the run to stop and save; a second Ctrl-C leaves it running.
    """
    tail, state = before or (Tail(run.events), RunState())
    asked = False
    while True:
        try:
            alive = run.alive()
            events = tail.read()
            for event in events:
                state = fold(state, [event])
                if not quiet and (line := event_line(event, state)) is not None:
                    say(line)
            if not events and (run.status(state) in OVER) and (state.ended is not None or alive is not True):
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
    if word not in OVER:
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
        print(without_a_word([run]), file=sys.stderr)
    elif word == "failed" and state.ended is not None:
        print(state.ended.message, file=sys.stderr)
    elif word == "paused":
        say(f"run {run.id} paused. {run.way_back()}.")
    elif state.adapter is not None:
        say(f"run {run.id} {word}; adapter in {state.adapter.path}")
    else:
        say(f"run {run.id} {word}")
    return exit_code(run, state)


def exit_code(run: RunFolder, state: RunState) -> int:
    """0 fine, paused or still running, 1 the run failed or died, 2 it failed because of its input."""
    word = run.status(state)
    if word == "failed" and state.ended is not None:
        return 2 if state.ended.bad_input else 1
    return 1 if word == "died" else 0
