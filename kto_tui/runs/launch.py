"""Starts a run's detached worker, lets a run go on, asks it to end, deletes it. No import of anything that trains."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

from kto_tui.errors import UserError
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action, Request, request
from kto_tui.runs.events import Queued
from kto_tui.runs.folder import RunFolder, check_disk, create_run
from kto_tui.runs.identity import read_identity
from kto_tui.runs.lock import hold
from kto_tui.runs.state import OVER, RESUMABLE

START_TIMEOUT_SECONDS = 20.0
LEAVING_SECONDS = 3.0
POLL_SECONDS = 0.02
DELETED = ".deleted"
# Supervisors this process has started: kept so that those that ended are reaped instead of staying zombies.
_started: list[subprocess.Popen[bytes]] = []


def start(config: RunConfig) -> RunFolder:
    """Create a run and start its supervisor; returns once that has said who it is, though it may have to wait then.

    Raises:
        UserError: the folder cannot be written, or the supervisor did not come up (with the log's last line).
    """
    run = create_run(config)
    _supervise(run)
    return run


def resume(run: RunFolder) -> RunFolder:
    """Let a run go on that has not finished, from its newest valid checkpoint.

    Raises:
        UserError: it is not over, there is nothing to go on with, it belongs to another host, the disk is full, or its
            supervisor did not come up.
    """
    state = run.read_state()
    word = run.status(state)
    where = str(run.path)
    if word == "unknown":
        raise UserError(
            f"Run {run.id} belongs to {_host(run)}",
            mend=f"Resume it there; if that host is no more, remove {run.identity} first",
            where=where,
        )
    if word not in OVER:
        mend = f"See it with kto-tui attach {run.id}"
        waits = f" behind {state.queued.holder or 'another run'}" if word == "queued" and state.queued else ""
        raise UserError(f"Run {run.id} is already {word}{waits}", mend=mend, where=where)
    if word not in RESUMABLE:
        mend = f"Train anew with kto-tui train {run.config}"
        raise UserError(f"Run {run.id} is {word}: there is nothing to go on with", mend=mend, where=where)
    check_disk()
    try:
        request(run.control, Request(action="run"))
    except OSError as error:
        raise UserError(
            f"Run {run.id} cannot be written ({error.strerror})", mend="Free the disk or mend its permissions",
            where=where,
        ) from None  # fmt: skip
    _supervise(run)
    return run


def _host(run: RunFolder) -> str:
    identity = read_identity(run.identity)
    return "another host" if identity is None else identity.host


def _supervise(run: RunFolder) -> None:
    """Start the supervisor of ``run`` in a session of its own.

    It outlives the terminal: own session, input from /dev/null, output to ``worker.log``.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    before = read_identity(run.identity)
    with os.fdopen(os.open(run.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
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
        if (identity := read_identity(run.identity)) is not None and identity != before:
            return
        if process.poll() is not None:
            break
        time.sleep(POLL_SECONDS)
    last = next((line for line in reversed(run.log_tail()) if line.strip()), "no output")
    raise UserError(f"The worker did not start ({last})", mend="Run kto-tui doctor", where=str(run.log))


def queued(run: RunFolder, seconds: float) -> Queued | None:
    """What a run that was just started waits for; None when it need not wait, or has not said so in ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = run.read_state()
        if state.queued is not None or state.phase is not None or state.ended is not None:
            return state.queued
        time.sleep(POLL_SECONDS)
    return None


def ask(run: RunFolder, action: Action) -> bool:
    """Ask a run to end; False when nobody is there to hear it."""
    return tell(run, Request(action=action))


def tell(run: RunFolder, asked: Request) -> bool:
    """Pass a request on to a run; False when nobody is there to hear it."""
    if run.alive() is not True:
        return False
    with contextlib.suppress(OSError):
        request(run.control, asked)
        return True
    return False


def delete(run: RunFolder) -> None:
    """Delete all of a run. It disappears at once; a crash half-way leaves a hidden folder that the next call removes.

    Raises:
        UserError: it is not over, it belongs to another host, or the folder cannot be removed.
    """
    if run.alive() is None:
        mend = "Delete it there"
        raise UserError(f"Run {run.id} belongs to {_host(run)}", mend=mend, where=str(run.path))
    lock = None
    try:
        # Its processes can outlive its last word a little.
        if run.status(run.read_state()) in OVER:
            lock = hold(run.lock, wait_seconds=LEAVING_SECONDS)
        if lock is None:
            mend = f"Stop it first with kto-tui stop {run.id}"
            raise UserError(f"Run {run.id} is not over", mend=mend, where=str(run.path))
        hidden = run.path.with_name(f".{run.id}.{os.getpid()}{DELETED}")
        run.path.rename(hidden)
        for left in run.path.parent.glob(f".*{DELETED}"):
            shutil.rmtree(left, ignore_errors=left != hidden)
    except OSError as error:
        mend = "Mend its permissions"
        raise UserError(f"Run {run.id} cannot be deleted ({error.strerror})", mend=mend, where=str(run.path)) from None
    finally:
        if lock is not None:
            os.close(lock)
