"""When a checkpoint is written, and what happens when it cannot be."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from kto_tui.backends.base import Job
from kto_tui.backends.faults import write_failure
from kto_tui.backends.training.intervals import Intervals
from kto_tui.backends.training.resume import Facts
from kto_tui.runs.checkpoints import Checkpoint, Manifest, begin, discard, make_room, newest_size, prune, seal
from kto_tui.runs.events import CheckpointSaved, Noted
from kto_tui.runs.folder import folder_bytes
from kto_tui.units import size

SAVE_SECONDS = 300.0
RETRY_SECONDS = 30.0


class Saver:
    """Writes checkpoints: every so many steps or minutes, at the last step, and when a pause or a stop is asked for.

    A checkpoint that cannot be written never ends the training: it is noted once, and tried again.

    Args:
        job: the run.
        write: puts everything to go on from into an empty folder; fails as the library that writes does.
        expected_bytes: about what the first checkpoint takes.
        facts: what a checkpoint of this run belongs to.
        windows: of an epoch, a step each.
        resumed: the checkpoint that training goes on from.
        intervals: in force.

    Attributes:
        paused: whether training ended because a pause was asked for and its checkpoint is safe.
    """

    def __init__(
        self,
        job: Job,
        write: Callable[[Path], None],
        expected_bytes: Callable[[], int],
        facts: Facts,
        windows: int,
        resumed: Checkpoint | None,
        intervals: Intervals,
    ) -> None:
        self._job = job
        self._write = write
        self._expected_bytes = expected_bytes
        self._facts = facts
        self._windows = windows
        self._intervals = intervals
        self._safe_step = 0 if resumed is None else resumed.step
        self._saved_at = time.monotonic()
        self._retry_at: float | None = None
        self._told = ""
        self.paused = False

    def restart(self) -> None:
        """Training begins: the time to the first checkpoint counts from here."""
        self._saved_at = time.monotonic()

    def due(self, step: int, *, ending: bool) -> bool:
        """Whether a checkpoint is to be written after ``step``, and after its point of the curves.

        Args:
            step: optimizer steps done.
            ending: training stops after it.
        """
        asked = self._job.requested()
        if asked == "abort":
            return False
        if ending:
            return True
        if self._retry_at is not None:
            return time.monotonic() >= self._retry_at
        return asked == "pause" or self._interval_is_over(step)

    def _interval_is_over(self, step: int) -> bool:
        every = self._intervals.save_every
        if every is None:
            return time.monotonic() - self._saved_at >= SAVE_SECONDS
        return step % every == 0

    def save(self, step: int, total_steps: int, *, ending: bool) -> bool:
        """Write a checkpoint; whether training must end now, as a pause was asked for and nothing can be lost.

        Args:
            step: optimizer steps done.
            total_steps: of the whole training.
            ending: training stops in any case.
        """
        pausing = self._job.requested() == "pause"
        problem = self._save(step, total_steps)
        self._saved_at = time.monotonic()
        if problem is None:
            self._safe_step, self._retry_at, self._told = step, None, ""
            self.paused = self.paused or pausing
            return pausing
        self._retry_at = self._saved_at + RETRY_SECONDS
        where = f"the newest one is of step {self._safe_step}" if self._safe_step else "there is none yet"
        text = f"The checkpoint could not be written ({problem}); {where}"
        if not ending:
            text += ". The run cannot pause yet: training" if pausing else ". Training"
            text += f" goes on and tries again every {RETRY_SECONDS:.0f} seconds"
        if text != self._told:
            self._told = text
            self._job.emit(Noted(text=text))
        return False

    def _save(self, step: int, total_steps: int) -> str | None:
        """Write and seal a checkpoint; returns why not, None when it is on disk."""
        run, limit = self._job.run, self._job.config.recipe.save_total_limit
        expected = newest_size(run) or self._expected_bytes()
        if missing := make_room(run, expected, limit):
            return f"the disk lacks {size(missing)} of room for it"
        build = None
        try:
            build = begin(run, step)
            self._write(build)
            saved = seal(build, run, self._manifest(step, total_steps))
        except BaseException as error:
            if build is not None:
                discard(build)
            if (problem := write_failure(error)) is not None:
                return problem
            raise
        with contextlib.suppress(OSError):
            prune(run, limit)
        self._job.emit(CheckpointSaved(step=saved.step, path=str(saved.path), size_bytes=folder_bytes(saved.path)))
        return None

    def _manifest(self, step: int, total_steps: int) -> Manifest:
        epoch, window = divmod(step, self._windows)
        return Manifest(
            step=step,
            total_steps=total_steps,
            epoch=epoch,
            window=window,
            versions=self._facts.versions,
            fingerprints=self._facts.fingerprints,
            recipe=self._facts.recipe,
        )
