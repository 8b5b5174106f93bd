"""The training of a run from step to step: requests, changes, measures, points of the curves, checkpoints."""

import time
from collections.abc import Callable

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.trainer import Trainer
from kto_tui.backends.training.changes import Changes
from kto_tui.backends.training.measures import Measures
from kto_tui.backends.training.points import Points
from kto_tui.backends.training.saving import Saver
from kto_tui.runs.control import Action
from kto_tui.runs.state import RunState


class Loop:
    """Takes the trainer's steps and does after each what is due.

    Args:
        job: the run.
        known: of it, before this process.
        trainer: restored, where training goes on.
        measures: taken at intervals.
        points: of the curves.
        saver: of checkpoints.
        changes: a person's.
        after_step: called after every step.
    """

    def __init__(
        self,
        job: Job,
        known: RunState,
        trainer: Trainer,
        measures: Measures,
        points: Points,
        saver: Saver,
        changes: Changes,
        after_step: Callable[[], None],
    ) -> None:
        self._job, self._known = job, known
        self._trainer, self._measures = trainer, measures
        self._points, self._saver, self._changes = points, saver, changes
        self._after_step = after_step

    def run(self) -> Action | None:
        """Train to the end or until asked to stop; returns the request that ended it."""
        trainer, total = self._trainer, self._trainer.total_steps
        self._changes.intervals.total = total
        self._take_up()
        if trainer.progress.step:
            self._measure(self._known)
        self._points.restart()
        self._saver.restart()
        while trainer.progress.step < total:
            trainer.take_step()
            self._after_step()
            step, begin = trainer.progress.step, time.monotonic()
            self._take_up()
            asked = self._job.requested()
            done = step >= min(total, self._changes.stop_after or total)
            ending = done or asked in {"stop", "abort"}  # a pause waits for its checkpoint
            if not ending and asked is None:
                self._measure(RunState())
            self._points.exclude(time.monotonic() - begin)
            # The curve ends where the training does, whatever the interval.
            if done or self._changes.intervals.logs(step):
                self._points.emit(step, total, trainer.epoch, trainer.take_point())
            if self._saver.due(step, ending=ending) and self._saver.save(step, total, ending=ending):
                return "pause"
            if ending:
                return asked if asked in {"stop", "abort"} else None
        return None

    def _take_up(self) -> None:
        changed = self._changes.look(self._trainer.progress.step)
        self._trainer.rate_scale = self._changes.learning_rate_scale
        if "sample_prompts" in changed:
            self._measures.ask_besides(self._changes.sample_prompts)

    def _measure(self, known: RunState) -> None:
        """What is due now and not ``known``."""
        step, intervals = self._trainer.progress.step, self._changes.intervals
        if intervals.evaluates(step) and all(one.step != step for one in known.evaluations):
            self._measures.evaluate(step)
        if intervals.samples(step) and all(one.step != step for one in known.samples):
            self._measures.sample(step)
