"""Attention over a prefix tree for accelerators: one padded call for all rows, so few kernel launches.

Gives each new token the softmax attention over its own path from the root, and nothing else.
"""

from collections.abc import Sequence

import torch

from kto_tui.backends.hf.kto.layout import Span, hidden_keys


def tree_attention_padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: Sequence[Span],
    *,
    scaling: float,
    window: int | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attended values as query: (heads, new, head_dim).

    Args:
        query: shape (heads, new, head_dim).
        key: shape (kv_heads, past + new, head_dim), and ``value`` alike.
        spans: of the new tokens.
        scaling: of the scores.
        window: how many tokens back a token sees, itself included.
        softcap: cap on the scores.
    """
    device = query.device
    longest = max(span.path.numel() for span in spans)
    most = max(span.stop - span.start for span in spans)
    paths = torch.zeros(len(spans), longest, dtype=torch.long, device=device)
    queries = torch.zeros(len(spans), most, dtype=torch.long, device=device)
    hidden = torch.ones(len(spans), 1, most, longest, dtype=torch.bool, device=device)
    hidden[..., 0] = False  # a padded query sees something, so that no row is all minus infinity
    for row, span in enumerate(spans):
        count, length = span.stop - span.start, span.path.numel()
        paths[row, :length] = span.path
        queries[row, :count] = torch.arange(span.start, span.stop, device=device)
        hidden[row, 0, :count, :length] = hidden_keys(count, length, window, device)
    groups = query.shape[0] // key.shape[0]
    q = query[:, queries].transpose(0, 1)
    k = key[:, paths].transpose(0, 1).repeat_interleave(groups, dim=1)
    v = value[:, paths].transpose(0, 1).repeat_interleave(groups, dim=1)
    if softcap is None:
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=~hidden, scale=scaling)
    else:
        scores = softcap * torch.tanh(torch.matmul(q, k.transpose(2, 3)).float() * (scaling / softcap))
        attended = torch.matmul(torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1).to(v.dtype), v)
    parts = [attended[row, :, : span.stop - span.start] for row, span in enumerate(spans)]
    return torch.cat(parts, dim=1)
