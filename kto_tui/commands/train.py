"""``demo`` and ``train``: start a run and follow it."""

import subprocess
import sys
from pathlib import Path

import msgspec

from kto_tui.commands.follow import exit_code, follow, report, say, say_started
from kto_tui.draft import check_trainable, from_request, plan, starter_draft, to_config
from kto_tui.environment import require_training
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.runs.config import RunConfig, read_request
from kto_tui.runs.folder import check_disk
from kto_tui.runs.launch import start
from kto_tui.runs.overview import summarise


def train(path: str, *, detach: bool, trial: bool, as_json: bool) -> int:
    """Train what the run file says."""
    draft = from_request(read_request(Path(path)), detect())
    if trial:
        draft = msgspec.structs.replace(draft, trial=True)
    check_trainable(draft)
    proposal = plan(draft)
    if proposal.verdict == "NO" and not as_json:
        say(f"warning: {draft.model.id if draft.model else ''} {proposal.verdict_because}")
    return _run(to_config(draft), detach=detach, as_json=as_json)


def demo(*, headless: bool) -> int:
    """Train the starter run: in the wizard on a terminal, headless without one."""
    draft = starter_draft(detect())
    require_training(draft.backend.name)
    check_disk()
    fetch_starter_model()
    if headless or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _run(to_config(draft), detach=False, as_json=False)
    from kto_tui.tui.app import run_wizard

    return run_wizard(at_review=True)


def fetch_starter_model(*, quiet: bool = False) -> None:
    """Get the starter model in a process of its own: this one stays free of torch."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "kto_tui.backends.hf.starter_model"],
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise UserError(last.rstrip("."), mend="Run make demo again once that is mended", where="starter model")


def _run(config: RunConfig, *, detach: bool, as_json: bool) -> int:
    run = start(config)
    if detach:
        if as_json:
            say(msgspec.json.encode({"id": run.id, "path": str(run.path)}).decode())
        else:
            say_started(run, "started", detach=True)
        return 0
    if as_json:
        state = follow(run, quiet=True)
        say(msgspec.json.format(msgspec.json.encode(summarise(run)), indent=2).decode())
        return exit_code(run, state)
    say_started(run, "started", detach=False)
    return report(run, follow(run))
