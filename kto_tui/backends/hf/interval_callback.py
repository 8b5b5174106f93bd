"""The callback for what a training does at intervals, and for what a person changes meanwhile."""

import time
from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job
from kto_tui.backends.training.changes import Changes
from kto_tui.backends.training.measures import Measures
from kto_tui.runs.state import RunState


class IntervalCallback(TrainerCallback):  # type: ignore[misc]
    """Takes up changes after every step, then logs, scores and answers where it is time to.

    Added after the callback that acts on requests: a run that ends is measured by whoever ends it.

    Args:
        job: the run.
        known: of it, before this process.
        measures: taken at intervals.
        exclude: told seconds that do not count against the training's speed.

    Attributes:
        changes: what is in force.
    """

    def __init__(self, job: Job, known: RunState, measures: Measures, exclude: Callable[[float], None]) -> None:
        self.changes = Changes(job, known)
        self._known = known
        self._job = job
        self._planned_rate = job.config.recipe.learning_rate
        self._measures = measures
        self._exclude = exclude

    def on_train_begin(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **parts: Any,  # noqa: ANN401
    ) -> None:
        """The number of steps is known now; a resumed run takes up what was changed, and makes up what it left out."""
        self.changes.intervals.total = state.max_steps
        self._take_up(state.global_step, parts["lr_scheduler"])
        if state.global_step:
            self._measure(state.global_step, self._known)

    def on_step_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **parts: Any,  # noqa: ANN401
    ) -> None:
        """Changes first, then what is due."""
        begin, step = time.monotonic(), state.global_step
        self._take_up(step, parts["lr_scheduler"])
        done = step >= min(state.max_steps, self.changes.stop_after or state.max_steps)
        # The curve ends where the training does, whatever the interval.
        control.should_log = done or self.changes.intervals.logs(step)
        control.should_training_stop = done or control.should_training_stop
        if not control.should_training_stop and self._job.requested() is None:
            self._measure(step, RunState())
        self._exclude(time.monotonic() - begin)

    def _measure(self, step: int, known: RunState) -> None:
        """What is due after ``step`` and not ``known``."""
        intervals = self.changes.intervals
        if intervals.evaluates(step) and all(one.step != step for one in known.evaluations):
            self._measures.evaluate(step)
        if intervals.samples(step) and all(one.step != step for one in known.samples):
            self._measures.sample(step)

    def _take_up(self, step: int, scheduler: Any) -> None:  # noqa: ANN401 - a LambdaLR, or Accelerate's wrapper of one
        changed = self.changes.look(step)
        if "learning_rate_scale" in changed:
            peak = self._planned_rate * self.changes.learning_rate_scale
            scale_learning_rate(getattr(scheduler, "scheduler", scheduler), peak)
        if "sample_prompts" in changed:
            self._measures.ask_besides(self.changes.sample_prompts)


def scale_learning_rate(scheduler: LambdaLR, peak: float) -> None:
    """Let ``scheduler`` go on as if its peak rate had always been ``peak``, and its optimizer follow at once.

    The same peak changes nothing, so that a resumed run may set it again. Every schedule of
    ``transformers.get_scheduler`` that a recipe can name is a LambdaLR.
    """
    scheduler.base_lrs = [peak for _ in scheduler.base_lrs]
    rates = [peak * factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["initial_lr"], group["lr"] = peak, rate
    scheduler._last_lr = rates  # noqa: SLF001 - what get_last_lr, and so the curve, reads
