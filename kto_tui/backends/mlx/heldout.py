"""Held-out rows under MLX: rewards for KTO, the loss for SFT."""

import contextlib
from collections.abc import Sequence

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.device import release
from kto_tui.backends.mlx.step import SftStep
from kto_tui.backends.mlx.trainer import Trainer
from kto_tui.backends.training.relief import Relieved
from kto_tui.backends.training.rewards import HeldoutRewards
from kto_tui.backends.training.rows import PreparedRows
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.runs.events import Evaluated, finite


class HeldoutLoss:
    """The mean negative log-likelihood of the held-out rows' scored tokens.

    Args:
        job: the run.
        step: scores rows.
        rows: held-out ones.
        max_rows: rows per pass.
    """

    def __init__(self, job: Job, step: SftStep, rows: Sequence[PreparedRow], max_rows: int) -> None:
        self._job, self._step, self._rows = job, step, rows
        self._order = sorted(range(len(rows)), key=lambda row: rows[row].length)
        self._pass = Relieved("heldout_rows", max_rows, job.emit, release)

    def _sum(self, max_rows: int) -> float:
        total = 0.0
        for cut in packs([self._rows[row].length for row in self._order], max_rows=max_rows):
            if self._job.requested() is not None:
                raise StopRequested
            total += sum(self._step.score([self._rows[row] for row in self._order[cut.start : cut.stop]]))
        return total

    def evaluate(self, step: int) -> Evaluated:
        """The event that reports it; step 0: of the base model."""
        tokens = sum(self._step.scored(row) for row in self._rows)
        with contextlib.nullcontext() if step else self._step.reference_model():
            loss = -self._pass.run(self._sum) / max(1, tokens)
        return Evaluated(step=step, rows=len(self._rows), accuracy=None, loss=finite(loss))


def heldout_of(job: Job, trainer: Trainer, passes: Passes, rows: PreparedRows) -> HeldoutRewards | HeldoutLoss | None:
    """What scores the held-out rows of ``job``; None where there are none."""
    if not rows.heldout:
        return None
    recipe, step = job.config.recipe, trainer.step
    # No more tokens than the KL pass takes, which the memory prediction knows.
    most = min(recipe.effective_batch, step.room * recipe.micro_batch)
    if isinstance(step, SftStep):
        return HeldoutLoss(job, step, rows.heldout, most)
    return HeldoutRewards(
        step.score,
        rows.heldout,
        passes.reference_model,
        beta=recipe.beta,
        max_rows=most,
        interrupted=lambda: job.requested() is not None,
        told=job.emit,
        release=release,
    )
