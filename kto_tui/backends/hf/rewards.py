"""Held-out rewards, row by row: what TRL's evaluation averages away."""

from collections.abc import Callable
from typing import Any

import msgspec
import torch
from peft import PeftModel

from kto_tui.backends.base import StopRequested
from kto_tui.runs.events import Evaluated, finite


class HeldoutRewards:
    """Rewards of held-out rows under the current adapter; the reference is scored once.

    Args:
        model: the policy; its reference is the same model with adapters disabled.
        rows: tokenised rows with ``prompt_ids``, ``completion_ids`` and ``label``.
        collate: TRL's collator (pads to the right, masks prompts).
        beta: the loss's beta; reward = beta * (log p - log p_ref), summed over completion tokens.
        batch_size: rows per forward pass.
        interrupted: asked before each forward pass; True ends the scoring with StopRequested.
    """

    def __init__(
        self,
        model: PeftModel,
        rows: Any,  # noqa: ANN401 - TRL's prepared dataset
        collate: Any,  # noqa: ANN401 - TRL's collator
        *,
        beta: float,
        batch_size: int,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._interrupted = interrupted
        self._model = model
        keys = ("prompt_ids", "completion_ids", "label")
        # Neighbours of equal length pad little.
        records = sorted(
            ({key: row[key] for key in keys} for row in rows),
            key=lambda row: len(row["prompt_ids"]) + len(row["completion_ids"]),
        )
        self._batches = [records[i : i + batch_size] for i in range(0, len(records), batch_size)]
        self._labels = torch.tensor([row["label"] for row in records], dtype=torch.bool)
        self._collate = collate
        self._beta = beta
        self._reference: torch.Tensor | None = None

    def _log_probs(self) -> torch.Tensor:
        device = next(self._model.parameters()).device
        scores = []
        with torch.no_grad():
            for batch in self._batches:
                if self._interrupted():
                    raise StopRequested
                padded = self._collate(batch)
                ids = padded["input_ids"].to(device)
                labels = ids.masked_fill(padded["completion_mask"].to(device) == 0, -100)
                output = self._model(
                    input_ids=ids,
                    attention_mask=padded["attention_mask"].to(device),
                    labels=labels,
                    fused_lm_head=True,
                )
                scores.append(output.log_probs.float().sum(-1).cpu())
        return torch.cat(scores)

    def rewards(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards and labels of all rows, both of shape (rows,)."""
        was_training = self._model.training
        self._model.eval()
        try:
            if self._reference is None:
                with self._model.disable_adapter():
                    self._reference = self._log_probs()
            return self._beta * (self._log_probs() - self._reference), self._labels
        finally:
            self._model.train(was_training)

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
