"""Held-out rewards, row by row: what a trainer's own evaluation averages away."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec
import numpy as np
from numpy.typing import NDArray

from kto_tui.backends.base import StopRequested
from kto_tui.backends.training.relief import Relieved
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.runs.events import Adjusted, Evaluated, finite

Floats = NDArray[np.float32]
Labels = NDArray[np.bool_]
Score = Callable[[Sequence[PreparedRow]], Sequence[float]]


class HeldoutRewards:
    """Rewards of held-out rows under the current adapter; the reference is scored once.

    Args:
        score: log p(y|x) of a pack's rows, summed over completion tokens, under the model as it stands; without
            gradient and dropout.
        rows: prepared held-out rows; they may lie on disk.
        reference_model: context in which ``score`` is that of the reference.
        beta: the loss's beta; reward = beta * (log p - log p_ref).
        max_rows: rows per pass.
        interrupted: asked before each pass; True ends the scoring with StopRequested.
        told: told of a relief when memory runs out.
        release: gives back what a failed pass left.
    """

    def __init__(
        self,
        score: Score,
        rows: Sequence[PreparedRow],
        reference_model: Callable[[], AbstractContextManager[None]],
        *,
        beta: float,
        max_rows: int,
        interrupted: Callable[[], bool] = lambda: False,
        told: Callable[[Adjusted], None] = lambda _: None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._score = score
        self._reference_model = reference_model
        self._beta = beta
        self._interrupted = interrupted
        self._rows = rows
        facts = [(row.length, row.label) for row in rows]
        # Neighbours of equal length pad little.
        self._order = sorted(range(len(facts)), key=lambda row: facts[row][0])
        self._lengths = [facts[row][0] for row in self._order]
        self._labels: Labels = np.array([facts[row][1] for row in self._order], dtype=np.bool_)
        self._pass = Relieved("heldout_rows", max_rows, told, release)
        self._reference: tuple[int, Floats] | None = None

    def _log_probs(self, max_rows: int) -> Floats:
        scores: list[float] = []
        for cut in packs(self._lengths, max_rows=max_rows):
            if self._interrupted():
                raise StopRequested
            scores += self._score([self._rows[row] for row in self._order[cut.start : cut.stop]])
        return np.array(scores, dtype=np.float32)

    def _log_ratios(self, max_rows: int) -> Floats:
        # In bf16 scores of other packs differ: policy and reference are compared in the same.
        if self._reference is None or self._reference[0] != max_rows:
            with self._reference_model():
                self._reference = max_rows, self._log_probs(max_rows)
        return self._log_probs(max_rows) - self._reference[1]

    def rewards(self) -> tuple[Floats, Labels]:
        """Rewards and labels of all rows, both of shape (rows,)."""
        return self._beta * self._pass.run(self._log_ratios), self._labels

    def evaluate(self, step: int) -> Evaluated:
        """The event that reports them."""
        rewards, labels = self.rewards()
        return summarise_rewards(step, rewards, labels)


def summarise_rewards(step: int, rewards: Floats, labels: Labels) -> Evaluated:
    """Accuracy: share of rows whose reward is above zero when desirable, below zero when undesirable.

    Args:
        step: optimizer step the rewards belong to.
        rewards: shape (rows,).
        labels: shape (rows,).
    """
    right = np.where(labels, rewards > 0, rewards < 0)

    def mean(values: Floats | Labels) -> float | None:
        return finite(values.mean(dtype=np.float32)) if values.size else None

    event = Evaluated(
        step=step,
        rows=int(labels.size),
        accuracy=mean(right),
        accuracy_desirable=mean(right[labels]),
        accuracy_undesirable=mean(right[~labels]),
        reward_desirable=mean(rewards[labels]),
        reward_undesirable=mean(rewards[~labels]),
    )
    if event.reward_desirable is None or event.reward_undesirable is None:
        return event
    return msgspec.structs.replace(event, margin=event.reward_desirable - event.reward_undesirable)
