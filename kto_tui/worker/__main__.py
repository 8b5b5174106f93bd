"""The training process: ``python -m kto_tui.worker RUN``. Its last word in the event log says how it ended."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import msgspec

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.faults import first_line, is_out_of_memory
from kto_tui.backends.load import load_backend
from kto_tui.large_imports import uncollected
from kto_tui.runs.checkpoints import newest_valid
from kto_tui.runs.config import load_config
from kto_tui.runs.control import Action, ControlReader, Setting
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import Ended, MemoryRanOut, PhaseEntered
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import in_force
from kto_tui.secrets import without_secrets
from kto_tui.worker.causes import ended_by
from kto_tui.worker.child_environment import SUPERVISOR

# What takes seconds to import, by backend.
LOADED = {"hf": "torch, transformers and trl", "mlx": "mlx, mlx-lm and transformers"}
ENDS: dict[Action | None, tuple[str, str]] = {
    "abort": ("stopped", "Aborted; nothing was saved"),
    "stop": ("stopped", "Stopped as asked; the adapter is saved as it was"),
    None: ("finished", ""),
}


class StopSwitch:
    """Why training should end now: a request in the control file, a signal, or a supervisor that is gone."""

    def __init__(self, run: RunFolder) -> None:
        self._reader = ControlReader(run.control)
        # Told, not asked: a supervisor that was killed at once is nobody's parent any more.
        self._parent = int(os.environ.get(SUPERVISOR) or os.getppid())
        self._signalled = self.orphaned = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM means stop and save."""
        self._signalled = True

    def __call__(self) -> Action | None:
        """The request in force, if any; one from the control file comes first."""
        if (asked := self._reader.latest()) is not None:
            return asked
        self.orphaned = self.orphaned or os.getppid() != self._parent
        if self._signalled:
            return "stop"
        return "pause" if self.orphaned else None  # nobody has asked for an end: it can go on later

    def settings(self) -> Mapping[str, Setting]:
        """What a person has set since the run started."""
        return self._reader.settings

    def marks(self) -> list[str]:
        """Remarks since the last call."""
        return self._reader.marks()


def _log_traceback() -> None:
    with contextlib.suppress(OSError):  # the disk that holds the log may be the very thing that is full
        sys.stderr.write(without_secrets(traceback.format_exc()))


def paused(run: RunFolder, *, orphaned: bool) -> str:
    """Why a run is paused where nobody asked, where it stands, from where it goes on, and how."""
    saved, _ = newest_valid(run)
    safe = 0 if saved is None else saved.step
    step = max(safe, run.read_state().step)
    text = f"Paused after step {step}" if step else "Paused before training began"
    if safe < step:
        text += f", of which only the first {safe} are in a checkpoint"
    gone = "The supervisor was gone. " if orphaned else ""
    return f"{gone}{text}; go on with: kto-tui resume {run.id}"


def run_job(run: RunFolder, writer: EventWriter, switch: StopSwitch) -> Ended | MemoryRanOut:
    """Train and turn whatever happens into the record of how it ended; tracebacks go to the log only.

    A lack of memory is no end: the supervisor decides what comes of it.
    """
    try:
        config = in_force(load_config(run.config), run.read_state().adjustments)
        writer.write(PhaseEntered(phase=f"loading {LOADED[config.backend]}"))
        with uncollected():
            backend = load_backend(config.backend)
        action = backend(Job(run, config, writer.write, switch, switch.settings, switch.marks))
    except StopRequested:
        if switch() == "pause":
            return Ended(reason="paused", message=paused(run, orphaned=switch.orphaned))
        return Ended(reason="stopped", message="Stopped before training was done; nothing was saved")
    except BaseException as error:  # noqa: BLE001 - the record of the end must be written whatever happened
        _log_traceback()
        if is_out_of_memory(error):
            return MemoryRanOut(proof="exception", message=first_line(error))
        ended = ended_by(error, run)
        return msgspec.structs.replace(ended, message=without_secrets(ended.message))
    if action == "pause":
        return Ended(reason="paused", message=paused(run, orphaned=switch.orphaned))
    reason, message = ENDS[action]
    if action == "stop":
        message = f"{message}. {run.way_back()}"
    return Ended(reason=reason, message=message or _early_end(run, switch))


def _early_end(run: RunFolder, switch: StopSwitch) -> str:
    """Why a run that finished has done fewer steps than planned; nothing for one that has done them all."""
    state, asked = run.read_state(), switch.settings().get("stop_after")
    if asked is None or state.total_steps is None or state.step >= state.total_steps:
        return ""
    return f"Ended after step {state.step} of {state.total_steps}, as asked with stop_after {asked}"


def main(argv: list[str]) -> int:
    """Entry point; 0 finished, stopped or paused, 1 failed or out of memory."""
    run = RunFolder(Path(argv[0]))
    switch = StopSwitch(run)
    signal.signal(signal.SIGTERM, switch.on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = EventWriter(run.events)
    last = run_job(run, writer, switch)
    writer.write(last)
    return 1 if isinstance(last, MemoryRanOut) or last.reason == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
