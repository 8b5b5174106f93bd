"""When a checkpoint is written, and what happens when it cannot be."""

import contextlib
import time

from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job
from kto_tui.backends.hf.callback import EventCallback
from kto_tui.backends.hf.intervals import Intervals
from kto_tui.backends.hf.kto.resumable import ResumableKTOTrainer
from kto_tui.backends.hf.resume import Facts
from kto_tui.runs.checkpoints import Checkpoint, Manifest, begin, discard, make_room, newest_size, prune, seal
from kto_tui.runs.events import CheckpointSaved, Noted
from kto_tui.runs.folder import folder_bytes
from kto_tui.units import size

SAVE_SECONDS = 300.0
RETRY_SECONDS = 30.0


def _write_failure(error: BaseException) -> str | None:
    """Why the disk did not take it, in words; None when it is no failure of the disk."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SafetensorError):
        return str(error).splitlines()[0]
    # torch.save's own writer, whose words are where it stopped.
    if isinstance(error, RuntimeError) and ("PytorchStreamWriter" in str(error) or "inline_container" in str(error)):
        return "the disk did not take all of it"
    return None


class Saver(TrainerCallback):  # type: ignore[misc]
    """Writes checkpoints: every so many steps or minutes, at the last step, and when a pause or a stop is asked for.

    A checkpoint that cannot be written never ends the training: it is noted once, and tried again.

    Args:
        job: the run.
        trainer: whose state is written.
        events: the callback that counts training time.
        facts: what a checkpoint of this run belongs to.
        resumed: the checkpoint that training goes on from.
        intervals: in force.

    Attributes:
        paused: whether training ended because a pause was asked for and its checkpoint is safe.
    """

    def __init__(
        self,
        job: Job,
        trainer: ResumableKTOTrainer,
        events: EventCallback,
        facts: Facts,
        resumed: Checkpoint | None,
        intervals: Intervals,
    ) -> None:
        self._job = job
        self._trainer = trainer
        self._events = events
        self._facts = facts
        self._resumed = resumed
        self._intervals = intervals
        self._safe_step = 0 if resumed is None else resumed.step
        self._saved_at = time.monotonic()
        self._retry_at: float | None = None
        self._told = ""
        self.paused = False

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Take up what lay between two points of the curves; time counts from here."""
        if self._resumed is not None:
            same = self._resumed.manifest.fingerprints.get("windows") == self._facts.fingerprints["windows"]
            self._events.carry(self._trainer.restore(self._resumed.path, same_rows=same))
        self._saved_at = time.monotonic()

    def on_step_end(self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Ask for a save where one is due; it comes after this step's point of the curves."""
        asked = self._job.requested()
        if asked == "abort":
            control.should_save = False
        elif control.should_training_stop:
            control.should_save = True
        elif self._retry_at is not None:
            control.should_save = time.monotonic() >= self._retry_at
        else:
            control.should_save = asked == "pause" or self._due(state.global_step)

    def _due(self, step: int) -> bool:
        every = self._intervals.save_every
        if every is None:
            return time.monotonic() - self._saved_at >= SAVE_SECONDS
        return step % every == 0

    def on_save(self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Write it; a pause that was asked for ends the training only now that nothing can be lost."""
        pausing = self._job.requested() == "pause"
        problem = self._save(state)
        self._saved_at = time.monotonic()
        if problem is None:
            self._safe_step, self._retry_at, self._told = state.global_step, None, ""
            if pausing:
                self.paused = control.should_training_stop = True
            return
        self._retry_at = self._saved_at + RETRY_SECONDS
        where = f"the newest one is of step {self._safe_step}" if self._safe_step else "there is none yet"
        text = f"The checkpoint could not be written ({problem}); {where}"
        if not control.should_training_stop:
            text += ". The run cannot pause yet: training" if pausing else ". Training"
            text += f" goes on and tries again every {RETRY_SECONDS:.0f} seconds"
        if text != self._told:
            self._told = text
            self._job.emit(Noted(text=text))

    def _save(self, state: TrainerState) -> str | None:
        """Write and seal a checkpoint; returns why not, None when it is on disk."""
        run, limit = self._job.run, self._job.config.recipe.save_total_limit
        expected = newest_size(run) or self._trainer.checkpoint_bytes()
        if missing := make_room(run, expected, limit):
            return f"the disk lacks {size(missing)} of room for it"
        build = None
        try:
            build = begin(run, state.global_step)
            self._trainer.write(build, seconds=self._events.unlogged_seconds())
            saved = seal(build, run, self._manifest(state))
        except BaseException as error:
            if build is not None:
                discard(build)
            if (problem := _write_failure(error)) is not None:
                return problem
            raise
        with contextlib.suppress(OSError):
            prune(run, limit)
        self._job.emit(CheckpointSaved(step=saved.step, path=str(saved.path), size_bytes=folder_bytes(saved.path)))
        return None

    def _manifest(self, state: TrainerState) -> Manifest:
        epoch, window = divmod(state.global_step, len(self._trainer.windows))
        return Manifest(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=epoch,
            window=window,
            versions=self._facts.versions,
            fingerprints=self._facts.fingerprints,
            recipe=self._facts.recipe,
        )
