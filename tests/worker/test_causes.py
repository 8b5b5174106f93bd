"""Each way a training fails has a cause, says what happened and how to go on."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from kto_tui.backends.faults import TrainingError
from kto_tui.data.prepare.token_file import in_memory
from kto_tui.data.prepare.tokens import TokenRow
from kto_tui.errors import UserError
from kto_tui.runs.folder import RunFolder
from kto_tui.worker.causes import ended_by


def unreadable() -> None:
    """What a token file whose end is gone gives, out of the very code that reads rows."""
    rows = in_memory([TokenRow(1, True, (1, 2), (3,), 0)])
    rows._ids.release()
    rows[0]


def raising(error: BaseException) -> Callable[[], None]:
    def throw() -> None:
        raise error

    return throw


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (raising(OSError(errno.ENOSPC, "No space left on device")), "disk_full", "Free space"),
        (raising(OSError(errno.EROFS, "Read-only file system")), "disk_full", "writable"),
        (raising(RuntimeError("CUDA error: unspecified launch failure")), "gpu_lost", "nvidia-smi"),
        (unreadable, "data_loading", "data file"),
        (raising(KeyError("q_proj")), "crashed", "KeyError: 'q_proj'"),
        (raising(SystemExit(3)), "crashed", "SystemExit"),
    ],
)
def test_a_fault_is_recorded_with_its_cause_and_the_way_back(
    tmp_path: Path, fault: Callable[[], None], cause: str, words: str
) -> None:
    run = RunFolder(tmp_path / "calm-fox")
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - each its own
        fault()
    ended = ended_by(caught.value, run)
    assert (ended.reason, ended.cause, ended.bad_input) == ("failed", cause, False)
    assert words in ended.message
    assert str(run.log) in ended.message
    assert ended.message.endswith("kto-tui resume calm-fox.")
    assert "\n" not in ended.message


@pytest.mark.parametrize(
    ("mend", "words"),
    [
        ("Lower learning_rate, now 0.3, to a tenth", "kto-tui set calm-fox learning_rate_scale 0.1."),
        ("Lower beta, now 5, to 0.1, and learning_rate, now 0.3", "That takes a new run"),
    ],
)
def test_a_loss_that_is_not_finite_needs_another_choice(tmp_path: Path, mend: str, words: str) -> None:
    error = TrainingError("The loss is not a finite number", mend=mend, cause="not_finite", where="rows at lines 1, 2")
    ended = ended_by(error, RunFolder(tmp_path / "calm-fox"))
    assert (ended.cause, ended.bad_input) == ("not_finite", False)
    assert mend in ended.message
    assert words in ended.message


def test_bad_input_stays_the_users_to_mend(tmp_path: Path) -> None:
    ended = ended_by(UserError("Too few rows", mend="Add some", where="rows.jsonl"), RunFolder(tmp_path))
    assert (ended.bad_input, ended.cause, ended.message) == (True, None, "rows.jsonl: Too few rows. Add some.")
