"""Tells the Hugging Face trainer when a checkpoint is due, and has it written."""

from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job
from kto_tui.backends.hf.kto.resumable import ResumableKTOTrainer
from kto_tui.backends.training.intervals import Intervals
from kto_tui.backends.training.points import Points
from kto_tui.backends.training.resume import Facts, same_windows
from kto_tui.backends.training.saving import Saver
from kto_tui.runs.checkpoints import Checkpoint


class SaveCallback(TrainerCallback):  # type: ignore[misc]
    """Asks the ``Saver`` after every step; takes up what a checkpoint holds when training goes on from one.

    Args:
        job: the run.
        trainer: whose state is written.
        points: which count training time.
        facts: what a checkpoint of this run belongs to.
        resumed: the checkpoint that training goes on from.
        intervals: in force.

    Attributes:
        saver: decides and writes.
    """

    def __init__(
        self,
        job: Job,
        trainer: ResumableKTOTrainer,
        points: Points,
        facts: Facts,
        resumed: Checkpoint | None,
        intervals: Intervals,
    ) -> None:
        self._trainer = trainer
        self._points = points
        self._facts = facts
        self._resumed = resumed
        windows = len(trainer.windows)
        self.saver = Saver(job, self._write, trainer.checkpoint_bytes, facts, windows, resumed, intervals)

    def _write(self, folder: Path) -> None:
        self._trainer.write(folder, seconds=self._points.unlogged_seconds())

    def on_train_begin(self, *_: object, **__: object) -> None:
        """Take up what lay between two points of the curves; time counts from here."""
        if self._resumed is not None:
            same = same_windows(self._resumed, self._facts)
            self._points.carry(self._trainer.restore(self._resumed.path, same_rows=same))
        self.saver.restart()

    def on_step_end(self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Ask for a save where one is due; it comes after this step's point of the curves."""
        control.should_save = self.saver.due(state.global_step, ending=control.should_training_stop)

    def on_save(self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Write it; a pause that was asked for ends the training only now."""
        ending = control.should_training_stop
        control.should_training_stop = self.saver.save(state.global_step, state.max_steps, ending=ending) or ending
