"""Commands that change a run: resume, pause, stop, delete, set, mark."""

import argparse
import sys
from collections.abc import Callable

from kto_tui import units
from kto_tui.commands.follow import follow, report, say, say_started, so_far
from kto_tui.environment import require_training
from kto_tui.errors import UserError
from kto_tui.runs import launch
from kto_tui.runs.config import load_config
from kto_tui.runs.control import Action, Request, request
from kto_tui.runs.folder import RunFolder, find_run, folder_bytes, resumable
from kto_tui.runs.state import OVER, Status


def life(args: argparse.Namespace) -> int:
    """Run the chosen command; returns its exit code."""
    commands: dict[str, Callable[[RunFolder], int]] = {
        "resume": lambda run: resume(run, detach=args.detach),
        "pause": lambda run: end(run, "pause"),
        "stop": lambda run: end(run, "abort" if args.abort else "stop"),
        "delete": lambda run: delete(run, sure=args.yes),
        "set": lambda run: change(run, args.name, args.value),
        "mark": lambda run: mark(run, args.text),
    }
    return commands[args.command](find_run(args.run))


def resume(run: RunFolder, *, detach: bool) -> int:
    """Let a run go on."""
    require_training(load_config(run.config).backend)
    before = so_far(run)
    launch.resume(run)
    say_started(run, "goes on", detach=detach)
    return 0 if detach else report(run, follow(run, before=before))


def end(run: RunFolder, action: Action) -> int:
    """Ask a run to end."""
    waits = _not_over(run) == "queued"
    if not launch.ask(run, action):
        raise _not_there(run)
    if waits:
        say(f"{run.id} leaves the queue")
        return 0
    how = {
        "pause": f"saves a checkpoint; go on with: kto-tui resume {run.id}",
        "stop": "saves its adapter",
        "abort": "saves nothing",
    }
    say(f"{run.id} ends after its current step and {how[action]}")
    return 0


def _not_over(run: RunFolder) -> Status:
    """Its state; its processes can outlive its last word a little, but hear nothing any more."""
    if (status := run.status(run.read_state())) in OVER:
        raise _not_there(run)
    return status


def _not_there(run: RunFolder) -> UserError:
    state = run.status(run.read_state())
    return UserError(f"Run {run.id} is not running ({state})", mend="See kto-tui runs", where=str(run.path))


def delete(run: RunFolder, *, sure: bool) -> int:
    """Delete a run, after a question unless that was answered already."""
    if not sure:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError("There is no terminal to ask", mend="Say --yes if you are sure", where=str(run.path))
        answer = input(f"Delete {run.id} with all it has saved ({units.size(folder_bytes(run.path))})? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            say("nothing was deleted")
            return 0
    launch.delete(run)
    say(f"{run.id} is deleted")
    return 0


def change(run: RunFolder, name: str, text: str) -> int:
    """Change a setting from the next step on; of a run that is not running, from when it goes on."""
    from kto_tui.runs.settings import parse_setting

    value = parse_setting(name, text)
    state = run.read_state()
    running = run.alive() and run.status(state) not in OVER
    if not running and not resumable(run, state):
        raise _not_there(run)
    try:
        request(run.control, Request(action="set", name=name, value=value))
    except OSError as error:
        raise UserError(
            f"Run {run.id} hears nothing ({error.strerror})", mend="Mend its permissions", where=str(run.control)
        ) from None
    say(f"{run.id} uses {name} = {text or 'as planned'} from {'its next step' if running else 'when it goes on'}")
    return 0


def mark(run: RunFolder, text: str) -> int:
    """Note a remark at the current step."""
    if not text.strip():
        raise UserError("The remark is empty", mend="Write a few words", where="TEXT")
    _not_over(run)
    if not launch.tell(run, Request(action="mark", text=text.strip())):
        raise _not_there(run)
    say(f"{run.id} is marked at its next step")
    return 0
