"""Held-out rewards by one plain forward pass, for a model that either side has trained."""

from typing import Any

import torch
from training import SETTINGS, to_rows

from kto_tui.data.prepare import prepare

BATCH = 8


@torch.no_grad()
def _log_probs(model: Any, rows: list[Any], pad: int) -> torch.Tensor:
    """log p of each row's completion, shape (rows,)."""
    found = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        width = max(row.length for row in part)
        ids = torch.full((len(part), width), pad)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(part):
            ids[i, : row.length] = torch.tensor([*row.prompt_ids, *row.completion_ids])
            mask[i, : row.length] = 1
        logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        for i, row in enumerate(part):
            first = len(row.prompt_ids)
            scores = logits[i, first - 1 : row.length - 1].float().log_softmax(-1)
            found.append(scores.gather(1, ids[i, first : row.length, None].to(scores.device)).sum())
    return torch.stack(found)


def score(model: Any, tokenizer: Any, chats: list[dict[str, Any]], *, beta: float) -> dict[str, float]:
    """Accuracy and margin of the rewards beta * (log p - log p_ref) on ``chats``."""
    model.eval()
    rows = sorted(
        (row for window in prepare(to_rows(chats), tokenizer, SETTINGS).windows for row in window),
        key=lambda row: row.length,
    )
    policy = _log_probs(model, rows, tokenizer.pad_token_id)
    with model.disable_adapter():
        rewards = beta * (policy - _log_probs(model, rows, tokenizer.pad_token_id))
    labels = torch.tensor([row.label for row in rows], device=rewards.device)
    right = torch.where(labels, rewards > 0, rewards < 0)
    return {
        "accuracy": float(right.float().mean()),
        "margin": float(rewards[labels].mean() - rewards[~labels].mean()),
        "rows": len(rows),
    }
