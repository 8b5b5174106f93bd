"""Points of the curves: a training's figures under the event log's names, with its speed since the last one."""

import time
from collections.abc import Callable, Mapping

from kto_tui.backends.base import Job
from kto_tui.runs.events import StepCompleted, finite


class Points:
    """Emits them, and keeps the clock of what training itself takes.

    Args:
        job: the run.
        follow: told each point besides, by TRL's names.
    """

    def __init__(self, job: Job, follow: Callable[[int, Mapping[str, float]], None] | None = None) -> None:
        self._job = job
        self._follow = follow
        self._since = time.monotonic()
        self._excluded = 0.0

    def restart(self) -> None:
        """Speed counts from here."""
        self._since = time.monotonic()

    def exclude(self, seconds: float) -> None:
        """Do not count ``seconds`` against the training's speed."""
        self._excluded += seconds

    def carry(self, seconds: float) -> None:
        """Count ``seconds`` of an earlier process with the next point."""
        self._excluded -= seconds

    def unlogged_seconds(self) -> float:
        """Training time since the last point."""
        return time.monotonic() - self._since - self._excluded

    def emit(self, step: int, total_steps: int, epoch: float | None, logs: Mapping[str, float]) -> None:
        """A point; what ``logs`` leaves out, or has no finite number for, is unknown.

        Args:
            step: optimizer steps done.
            total_steps: of the whole training.
            epoch: passes over the rows so far.
            logs: means since the last point by TRL's names (``kto_tui.methods.kto_figures``), with ``loss``,
                ``grad_norm``, ``learning_rate``, and ``tokens`` trained on since then.
        """
        seconds = self.unlogged_seconds()
        self._since, self._excluded = time.monotonic(), 0.0
        total = finite(logs.get("tokens"))
        tokens = None if total is None else int(total)
        self._job.emit(
            StepCompleted(
                step=step,
                total_steps=total_steps,
                epoch=finite(epoch),
                loss=finite(logs.get("loss")),
                kl=finite(logs.get("kl")),
                reward_desirable=finite(logs.get("rewards/chosen")),
                reward_undesirable=finite(logs.get("rewards/rejected")),
                margin=finite(logs.get("rewards/margins")),
                accuracy=finite(logs.get("rewards/accuracies")),
                accuracy_desirable=finite(logs.get("rewards/accuracies_chosen")),
                accuracy_undesirable=finite(logs.get("rewards/accuracies_rejected")),
                grad_norm=finite(logs.get("grad_norm")),
                learning_rate=finite(logs.get("learning_rate")),
                tokens=tokens,
                seconds=round(seconds, 3),
                tokens_per_second=None if tokens is None or seconds <= 0 else round(tokens / seconds, 1),
            )
        )
        if self._follow is not None:
            self._follow(step, logs if epoch is None else {**logs, "epoch": epoch})
