"""The last word for a training process that left none itself: how it ended, what that usually means, the way back."""

import shutil
import signal

from kto_tui.backends.faults import is_out_of_memory
from kto_tui.runs.events import Cause, Ended
from kto_tui.runs.folder import RunFolder

FULL_BELOW_BYTES = 1024**2
LAST_WORDS_BYTES = 8192
# What a signal usually means. Source: signal(7), and what the training packages do on their way out.
SIGNALS: dict[int, tuple[Cause, str]] = {
    signal.SIGTERM: ("killed", "asked to end from outside before it could listen"),
    signal.SIGBUS: ("crashed", "a file it had mapped was cut short or its disk failed; /dev/shm may be full"),
    signal.SIGSEGV: ("crashed", "a crash inside a library, not in Python"),
    signal.SIGABRT: ("crashed", "a library gave up"),
    signal.SIGILL: ("crashed", "a library uses an instruction that this processor does not have"),
    signal.SIGFPE: ("crashed", "a crash inside a library, not in Python"),
    signal.SIGXFSZ: ("disk_full", "a file grew beyond the limit set for this user"),
    signal.SIGXCPU: ("killed", "the processor time allowed to this user is used up"),
}


def _killed(counted: bool) -> str:
    if counted:
        return "not for lack of memory, as the kernel's count says: somebody, or a guard of this machine, ended it"
    return "whether for lack of memory cannot be told here: the kernel counts no such kills for this process"


def shortage_told(run: RunFolder, code: int, *, since: int) -> str | None:
    """What the log says of memory that ran out, where the process aborted over it; None where it did not.

    Metal reports a command buffer that found no room on a thread of its own, where nothing can catch what MLX throws:
    the C++ runtime writes it down and aborts (the error is Metal's ``kIOGPUCommandBufferCallbackErrorOutOfMemory``).

    Args:
        run: whose.
        code: as ``subprocess`` gives it.
        since: byte of the log at which this process began to write.
    """
    if code != -signal.SIGABRT:
        return None
    try:
        with run.log.open("rb") as file:
            file.seek(max(since, run.log.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    said = [line.strip() for line in lines if is_out_of_memory(RuntimeError(line))]
    return said[-1][:300] if said else None


def obituary(run: RunFolder, code: int, *, counted: bool) -> Ended:
    """The record of an end without one.

    Args:
        run: whose.
        code: as ``subprocess`` gives it: the exit code, or the signal's number with a minus.
        counted: whether the kernel counts the processes it kills for lack of memory, and has not counted this one.
    """
    cause: Cause = "crashed"
    if code == -signal.SIGKILL:
        cause, what = "killed", f"was killed by SIGKILL, {_killed(counted)}"
    elif code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        cause, meaning = SIGNALS.get(-code, ("killed", "sent from outside"))
        what = f"was ended by {name} ({meaning})"
    else:
        what = f"ended with exit code {code} and without a last word"
        if _disk_is_full(run):
            cause, what = "disk_full", f"{what}, and the disk is full"
    return Ended(
        reason="failed",
        cause=cause,
        message=f"The training process {what}. The log {run.log} has its last lines. {run.way_back()}.",
    )


def _disk_is_full(run: RunFolder) -> bool:
    try:
        return shutil.disk_usage(run.path).free < FULL_BELOW_BYTES
    except OSError:
        return False
