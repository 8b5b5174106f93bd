"""Starts a run's detached worker and asks it to stop. No import of anything that trains."""

import contextlib
import os
import subprocess
import sys
import time

from kto_tui.errors import UserError
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action, request
from kto_tui.runs.folder import RunFolder, create_run

START_TIMEOUT_SECONDS = 20.0
# Supervisors this process has started: kept so that those that ended are reaped instead of staying zombies.
_started: list[subprocess.Popen[bytes]] = []


def start(config: RunConfig) -> RunFolder:
    """Create a run and start its supervisor in a session of its own; returns once it has said who it is.

    The supervisor outlives the terminal: own session, input from /dev/null, output to ``worker.log``.

    Raises:
        UserError: the folder cannot be written, or the supervisor did not come up (with the log's last line).
    """
    _started[:] = [process for process in _started if process.poll() is None]
    run = create_run(config)
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kto_tui.worker.supervisor", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=run.path,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},
        )
    _started.append(process)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if run.identity.exists():
            return run
        if process.poll() is not None:
            break
        time.sleep(0.02)
    last = next((line for line in reversed(run.log_tail()) if line.strip()), "no output")
    raise UserError(f"The worker did not start ({last})", mend="Run kto-tui doctor", where=str(run.log))


def ask(run: RunFolder, action: Action) -> bool:
    """Ask a run to end; False when nobody is there to hear it."""
    if run.alive() is not True:
        return False
    with contextlib.suppress(OSError):
        request(run.control, action)
        return True
    return False
