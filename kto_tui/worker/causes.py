"""How a training that failed is recorded: which cause the exception proves, what happened, and the way back."""

import traceback
from collections.abc import Callable
from typing import NamedTuple

from kto_tui.backends.faults import TrainingError, first_line, is_disk_full, is_gpu_lost
from kto_tui.errors import UserError
from kto_tui.runs.events import Cause, Ended
from kto_tui.runs.folder import RunFolder

# Which code an error came out of, innermost first.
_PLACES: tuple[tuple[str, Cause], ...] = (
    ("kto_tui.data.", "data_loading"),
    ("kto_tui.backends.training.saving", "checkpoint"),
    ("kto_tui.backends.hf.checkpoint", "checkpoint"),
    ("kto_tui.backends.hf.kto.resumable", "checkpoint"),
    ("kto_tui.backends.mlx.checkpoint", "checkpoint"),
    ("kto_tui.runs.checkpoints", "checkpoint"),
)


class _Words(NamedTuple):
    """What happened, and what to see to before the run goes on."""

    what: str
    mend: str


_WORDS: dict[Cause, _Words] = {
    "disk_full": _Words("The disk takes no more", "Free space or make it writable"),
    "gpu_lost": _Words("The GPU failed", "nvidia-smi, and Xid lines in the kernel's log, tell more"),
    "data_loading": _Words("The rows could not be read", "See that the data file and its disk are sound"),
    "checkpoint": _Words("The checkpoint could not be read or written", "See that the run's disk is sound"),
    "crashed": _Words("The training broke off", "The log has the details"),
}
_PROOFS: tuple[tuple[Callable[[BaseException], bool], Cause], ...] = (
    (is_disk_full, "disk_full"),
    (is_gpu_lost, "gpu_lost"),
)


def cause_of(error: BaseException) -> Cause:
    """What ``error`` proves; a lack of memory is told apart before (``kto_tui.backends.faults.is_out_of_memory``)."""
    if isinstance(error, TrainingError):
        return error.cause
    for proves, cause in _PROOFS:
        if proves(error):
            return cause
    frames = reversed(list(traceback.walk_tb(error.__traceback__)))
    for module in (str(frame.f_globals.get("__name__", "")) for frame, _ in frames):
        for prefix, cause in _PLACES:
            if module.startswith(prefix):
                return cause
    return "crashed"


def ended_by(error: BaseException, run: RunFolder) -> Ended:
    """The last word of a run that ``error`` ended."""
    if isinstance(error, UserError) and not isinstance(error, TrainingError):
        return Ended(reason="failed", message=str(error), bad_input=True)
    cause = cause_of(error)
    if isinstance(error, TrainingError):
        message = f"{error} {_way_back(error, run)}."
    else:
        words = _WORDS[cause]
        message = f"{words.what} ({first_line(error)}). {words.mend} (log: {run.log}). {run.way_back()}."
    return Ended(reason="failed", message=message, cause=cause)


def _way_back(error: TrainingError, run: RunFolder) -> str:
    if error.cause != "not_finite":
        return run.way_back()
    # The same choices would end the same way.
    if error.mend.startswith("Lower learning_rate"):
        return f"For this run: kto-tui set {run.id} learning_rate_scale 0.1. {run.way_back()}"
    return f"That takes a new run; {run.config} holds every choice of this one"
