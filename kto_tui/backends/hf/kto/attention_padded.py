"""Attention over a prefix tree for accelerators: one padded call for all rows, so few kernel launches.

Gives each new token the softmax attention over its own path from the root, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kto_tui.backends.hf.kto.layout import Span, hidden_keys


@dataclass(frozen=True)
class PaddedRows:
    """Rows padded to the longest of them.

    Attributes:
        paths: tree index of each row's path, shape (rows, longest).
        queries: index of each new token, shape (rows, most new tokens).
        hidden: True where a key is not seen, shape (rows, 1, most new tokens, longest).
        counts: new tokens per row.
    """

    paths: torch.Tensor
    queries: torch.Tensor
    hidden: torch.Tensor
    counts: tuple[int, ...]


def plan_padded(spans: Sequence[Span], window: int | None) -> PaddedRows:
    """``spans`` as padded rows, made once per layout and window and used by every layer."""
    device = spans[0].path.device
    longest = max(span.path.numel() for span in spans)
    counts = tuple(span.stop - span.start for span in spans)
    paths = torch.zeros(len(spans), longest, dtype=torch.long, device=device)
    queries = torch.zeros(len(spans), max(counts), dtype=torch.long, device=device)
    hidden = torch.ones(len(spans), 1, max(counts), longest, dtype=torch.bool, device=device)
    hidden[..., 0] = False  # a padded query sees something, so that no row is all minus infinity
    for row, (span, count) in enumerate(zip(spans, counts, strict=True)):
        length = span.path.numel()
        paths[row, :length] = span.path
        queries[row, :count] = torch.arange(span.start, span.stop, device=device)
        hidden[row, 0, :count, :length] = hidden_keys(count, length, window, device)
    return PaddedRows(paths, queries, hidden, counts)


def tree_attention_padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: PaddedRows,
    *,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attended values as query: (heads, new, head_dim).

    Args:
        query: shape (heads, new, head_dim).
        key: shape (kv_heads, past + new, head_dim), and ``value`` alike.
        rows: from ``plan_padded``.
        scaling: of the scores.
        softcap: cap on the scores.
    """
    groups = query.shape[0] // key.shape[0]
    q = query[:, rows.queries].transpose(0, 1)
    k = key[:, rows.paths].transpose(0, 1).repeat_interleave(groups, dim=1)
    v = value[:, rows.paths].transpose(0, 1).repeat_interleave(groups, dim=1)
    if softcap is None:
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=~rows.hidden, scale=scaling)
    else:
        scores = softcap * torch.tanh(torch.matmul(q, k.transpose(2, 3)).float() * (scaling / softcap))
        weights = torch.softmax(scores.masked_fill(rows.hidden, float("-inf")), dim=-1)
        attended = torch.matmul(weights.to(v.dtype), v)
    return torch.cat([attended[row, :, :count] for row, count in enumerate(rows.counts)], dim=1)
