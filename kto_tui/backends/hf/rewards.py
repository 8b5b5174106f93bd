"""Held-out rewards, row by row: what TRL's evaluation averages away."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec
import torch

from kto_tui.backends.base import StopRequested
from kto_tui.backends.hf.kto.scorer import Scorer
from kto_tui.backends.hf.relief import Relieved
from kto_tui.data.prepare import PreparedRow, packs
from kto_tui.runs.events import Adjusted, Evaluated, finite


class HeldoutRewards:
    """Rewards of held-out rows under the current adapter; the reference is scored once.

    Args:
        scorer: of the policy.
        rows: prepared held-out rows; they may lie on disk.
        reference_model: context in which the scorer's model is the reference.
        beta: the loss's beta; reward = beta * (log p - log p_ref), summed over completion tokens.
        max_rows: rows per pass.
        interrupted: asked before each pass; True ends the scoring with StopRequested.
        told: told of a relief when memory runs out.
    """

    def __init__(
        self,
        scorer: Scorer,
        rows: Sequence[PreparedRow],
        reference_model: Callable[[], AbstractContextManager[None]],
        *,
        beta: float,
        max_rows: int,
        interrupted: Callable[[], bool] = lambda: False,
        told: Callable[[Adjusted], None] = lambda _: None,
    ) -> None:
        self._scorer = scorer
        self._reference_model = reference_model
        self._beta = beta
        self._interrupted = interrupted
        self._rows = rows
        facts = [(row.length, row.label) for row in rows]
        # Neighbours of equal length pad little.
        self._order = sorted(range(len(facts)), key=lambda row: facts[row][0])
        self._lengths = [facts[row][0] for row in self._order]
        self._labels = torch.tensor([facts[row][1] for row in self._order], dtype=torch.bool)
        self._pass = Relieved("heldout_rows", max_rows, told)
        self._reference: tuple[int, torch.Tensor] | None = None

    def _log_probs(self, max_rows: int) -> torch.Tensor:
        scores = []
        with torch.no_grad():
            for cut in packs(self._lengths, max_rows=max_rows):
                if self._interrupted():
                    raise StopRequested
                pack = [self._rows[row] for row in self._order[cut.start : cut.stop]]
                scores.append(self._scorer.matched(pack)[0].float().cpu())
        return torch.cat(scores)

    def _log_ratios(self, max_rows: int) -> torch.Tensor:
        # In bf16 scores of other packs differ: policy and reference are compared in the same.
        if self._reference is None or self._reference[0] != max_rows:
            with self._reference_model():
                self._reference = max_rows, self._log_probs(max_rows)
        return self._log_probs(max_rows) - self._reference[1]

    def rewards(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards and labels of all rows, both of shape (rows,)."""
        model = self._scorer.model
        was_training = model.training
        model.eval()
        try:
            return self._beta * self._pass.run(self._log_ratios), self._labels
        finally:
            model.train(was_training)

    def evaluate(self, step: int) -> Evaluated:
        """The event that reports them."""
        rewards, labels = self.rewards()
        return summarise_rewards(step, rewards, labels)


def summarise_rewards(step: int, rewards: torch.Tensor, labels: torch.Tensor) -> Evaluated:
    """Accuracy: share of rows whose reward is above zero when desirable, below zero when undesirable.

    Args:
        step: optimizer step the rewards belong to.
        rewards: shape (rows,).
        labels: shape (rows,), bool.
    """
    right = torch.where(labels, rewards > 0, rewards < 0)

    def mean(values: torch.Tensor) -> float | None:
        return finite(values.float().mean()) if values.numel() else None

    event = Evaluated(
        step=step,
        rows=int(labels.numel()),
        accuracy=mean(right),
        accuracy_desirable=mean(right[labels]),
        accuracy_undesirable=mean(right[~labels]),
        reward_desirable=mean(rewards[labels]),
        reward_undesirable=mean(rewards[~labels]),
    )
    if event.reward_desirable is None or event.reward_undesirable is None:
        return event
    return msgspec.structs.replace(event, margin=event.reward_desirable - event.reward_undesirable)
