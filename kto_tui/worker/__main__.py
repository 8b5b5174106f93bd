"""The training process: ``python -m kto_tui.worker RUN``. Its last word in the event log says how it ended."""

import contextlib
import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.load import load_backend
from kto_tui.errors import UserError
from kto_tui.runs.config import load_config
from kto_tui.runs.control import Action, ControlReader
from kto_tui.runs.events import Ended, EventWriter, PhaseEntered
from kto_tui.runs.folder import RunFolder

OUT_OF_MEMORY_ADVICE = (
    "Lower micro_batch (the effective batch stays), then max_length, then turn gradient_checkpointing on, "
    "then lower lora_rank, then take a smaller model"
)


class StopSwitch:
    """Why training should end now: a request in the control file, a signal, or a supervisor that is gone."""

    def __init__(self, run: RunFolder) -> None:
        self._reader = ControlReader(run.control)
        self._parent = os.getppid()
        self._action: Action | None = None
        self.orphaned = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM means stop and save."""
        self._action = self._action or "stop"

    def __call__(self) -> Action | None:
        """The request in force, if any; an abort overrides a stop."""
        newest = self._reader.latest()
        if newest is not None and self._action != "abort":
            self._action = newest
        elif self._action is None and os.getppid() != self._parent:
            self._action, self.orphaned = "stop", True
        return self._action


def _log_traceback() -> None:
    with contextlib.suppress(OSError):  # the disk that holds the log may be the very thing that is full
        traceback.print_exc()


def _sentence(error: BaseException) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:300]


def _is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "not enough memory" in str(error))
    )


def run_job(run: RunFolder, writer: EventWriter, switch: StopSwitch) -> Ended:
    """Train and turn whatever happens into the record of how it ended; tracebacks go to the log only."""
    try:
        config = load_config(run.config)
        writer.write(PhaseEntered(phase="loading torch, transformers and trl"))
        backend = load_backend(config.backend)
        action = backend(Job(run, config, writer.write, switch))
    except StopRequested:
        return Ended(reason="stopped", message="Stopped before training was done; nothing was saved")
    except UserError as error:
        _log_traceback()
        return Ended(reason="failed", message=str(error), bad_input=True)
    except BaseException as error:  # noqa: BLE001 - the record of the end must be written whatever happened
        _log_traceback()
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return Ended(reason="failed", message=f"The disk is full ({run.path}). Free space and train again.")
        if _is_out_of_memory(error):
            return Ended(reason="failed", message=f"Out of memory ({_sentence(error)}). {OUT_OF_MEMORY_ADVICE}.")
        return Ended(reason="failed", message=f"{_sentence(error)}. The log {run.log} has the details.")
    if action == "abort":
        return Ended(reason="stopped", message="Aborted; nothing was saved")
    if action == "stop" and switch.orphaned:
        return Ended(
            reason="stopped", message="The supervisor was gone, so training ended; the adapter is saved as it was"
        )
    if action == "stop":
        return Ended(reason="stopped", message="Stopped as asked; the adapter is saved as it was")
    return Ended(reason="finished")


def main(argv: list[str]) -> int:
    """Entry point; 0 finished or stopped, 1 failed."""
    run = RunFolder(Path(argv[0]))
    switch = StopSwitch(run)
    signal.signal(signal.SIGTERM, switch.on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = EventWriter(run.events)
    ended = run_job(run, writer, switch)
    writer.write(ended)
    return 1 if ended.reason == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
