"""Two ways to compute attention over a prefix tree: row by row for CPUs, one padded call for accelerators.

Both give each new token the softmax attention over its own path from the root, and nothing else. Shapes: query
(heads, new, head_dim); key and value (kv_heads, past + new, head_dim); output as query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kto_tui.backends.hf.kto.layout import Span


def _hidden_keys(queries: int, length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """True where a key must not be seen, shape (queries, length): queries are the last tokens of the path."""
    key = torch.arange(length, device=device)
    query = torch.arange(length - queries, length, device=device)[:, None]
    hidden = key > query
    if window is not None:
        hidden |= query - key >= window
    return hidden


@dataclass(frozen=True)
class Group:
    """Rows that one set of matrix products attends for, padded to the longest of them.

    Attributes:
        queries: index of each new token, shape (rows, most new tokens); padding repeats the row's last.
        keys: tree index of each row's path, shape (rows, longest); padding repeats the row's last.
        counts: (new tokens, first new token) per row.
        runs: per row, (start in the tree, start in the path, length) of the path's contiguous stretches.
        hidden: True where a key is not seen, shape (rows, 1, most new tokens, longest).
    """

    queries: torch.Tensor
    keys: torch.Tensor
    counts: tuple[tuple[int, int], ...]
    runs: tuple[tuple[tuple[int, int, int], ...], ...]
    hidden: torch.Tensor


def _runs(path: list[int]) -> tuple[tuple[int, int, int], ...]:
    runs = []
    start = 0
    for i in range(1, len(path) + 1):
        if i == len(path) or path[i] != path[i - 1] + 1:
            runs.append((path[start], start, i - start))
            start = i
    return tuple(runs)


# Scores of one group and head: beyond that, padding and cache misses cost more than further calls.
GROUP_SCORES = 160_000


def plan(spans: Sequence[Span], window: int | None) -> tuple[Group, ...]:
    """Spans as groups of neighbouring rows, made once per layout and window and used by every layer and pass."""
    groups: list[list[Span]] = []
    most = longest = 0
    for span in spans:
        count, length = span.stop - span.start, span.path.numel()
        size = max(most, count) * max(longest, length)
        if not groups or size * (len(groups[-1]) + 1) > GROUP_SCORES:
            groups.append([])
            most = longest = 0
        groups[-1].append(span)
        most, longest = max(most, count), max(longest, length)
    return tuple(_group(members, window) for members in groups)


def _group(members: Sequence[Span], window: int | None) -> Group:
    counts = tuple((span.stop - span.start, span.start) for span in members)
    most = max(count for count, _ in counts)
    longest = max(span.path.numel() for span in members)
    paths = [span.path.tolist() for span in members]
    hidden = torch.ones(len(members), 1, most, longest, dtype=torch.bool)
    hidden[..., 0] = False  # a padded query sees something: a row of minus infinities alone has no softmax
    for row, (count, _) in enumerate(counts):
        length = len(paths[row])
        hidden[row, 0, :count, :length] = _hidden_keys(count, length, window, hidden.device)
    queries = [[*range(start, start + count), *[start + count - 1] * (most - count)] for count, start in counts]
    keys = [path + [path[-1]] * (longest - len(path)) for path in paths]
    return Group(torch.tensor(queries), torch.tensor(keys), counts, tuple(map(_runs, paths)), hidden)


class _RowAttention(torch.autograd.Function):  # type: ignore[misc]
    """Matrix products and softmax, a few rows at a time; probabilities are made again in the backward pass.

    On CPUs the backward pass of sdpa in bf16 is slower than these products (benchmarks/README.md). Tensors come as
    (tokens, heads, head_dim), the order in which the projections leave them.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        groups: tuple[Group, ...],
        scaling: float,
        softcap: float | None,
    ) -> torch.Tensor:
        output = torch.empty_like(query)
        for group in groups:
            q, k, v = _gather(query, group.queries, key.shape[1]), _paths(key, group), _paths(value, group)
            weights = torch.softmax(_scores(q, k, group, scaling, softcap), dim=-1).to(v.dtype)
            _scatter(output, torch.matmul(weights, v), group)
        ctx.save_for_backward(query, key, value, output)
        ctx.options = (groups, scaling, softcap)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        query, key, value, output = ctx.saved_tensors
        groups, scaling, softcap = ctx.options
        gradient = gradients[0].contiguous()
        # Tokens that rows share add up their rows' gradients: in float32, whatever the model's dtype.
        d_query = torch.empty_like(query)
        d_key = torch.zeros_like(key, dtype=torch.float32)
        d_value = torch.zeros_like(value, dtype=torch.float32)
        kv_heads = key.shape[1]
        for group in groups:
            q, g, o = (_gather(each, group.queries, kv_heads) for each in (query, gradient, output))
            _silence_padding(g, group)
            k, v = _paths(key, group), _paths(value, group)
            scores = _scores(q, k, group, scaling, softcap)
            weights = torch.softmax(scores, dim=-1)
            _add_paths(d_value, torch.matmul(weights.to(g.dtype).transpose(-1, -2), g), group)
            delta = (g.float() * o.float()).sum(-1, keepdim=True)
            d_scores = torch.matmul(g, v.transpose(-1, -2)).float().sub_(delta).mul_(weights)
            if softcap is not None:
                d_scores.mul_(1 - (scores.masked_fill(scores.isinf(), 0.0) / softcap).square())
            d_raw = d_scores.mul_(scaling).to(q.dtype)
            _scatter(d_query, torch.matmul(d_raw, k), group)
            _add_paths(d_key, torch.matmul(d_raw.transpose(-1, -2), q), group)
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None


def _gather(tokens: torch.Tensor, queries: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """(tokens, heads, dim) to (rows, kv_heads, heads per kv head * new tokens, dim)."""
    rows, most = queries.shape
    _, heads, dim = tokens.shape
    picked = tokens.index_select(0, queries.flatten()).view(rows, most, kv_heads, heads // kv_heads, dim)
    return picked.permute(0, 2, 3, 1, 4).reshape(rows, kv_heads, -1, dim)


def _scatter(tokens: torch.Tensor, attended: torch.Tensor, group: Group) -> None:
    """The inverse of ``_gather``, without the padding, into ``tokens``."""
    _, heads, dim = tokens.shape
    rows, kv_heads = attended.shape[:2]
    ordered = attended.view(rows, kv_heads, heads // kv_heads, -1, dim).permute(0, 3, 1, 2, 4)
    for row, (count, start) in enumerate(group.counts):
        tokens[start : start + count].view(count, kv_heads, -1, dim).copy_(ordered[row, :count])


def _paths(tokens: torch.Tensor, group: Group) -> torch.Tensor:
    """(tokens, kv_heads, dim) to (rows, kv_heads, longest, dim)."""
    rows, longest = group.keys.shape
    return tokens.index_select(0, group.keys.flatten()).view(rows, longest, *tokens.shape[1:]).transpose(1, 2)


def _add_paths(total: torch.Tensor, part: torch.Tensor, group: Group) -> None:
    """Add (rows, kv_heads, longest, dim) to the tokens it stands for; padding has no gradient and is not added."""
    ordered = part.transpose(1, 2)
    for row, runs in enumerate(group.runs):
        for tree, start, length in runs:
            total[tree : tree + length] += ordered[row, start : start + length]


def _silence_padding(gradient: torch.Tensor, group: Group) -> None:
    """Zero, in place, what ``_gather`` repeated to pad shorter rows."""
    most = group.queries.shape[1]
    folded = gradient.view(*gradient.shape[:2], -1, most, gradient.shape[-1])
    for row, (count, _) in enumerate(group.counts):
        if count < most:
            folded[row, :, :, count:] = 0


def _scores(q: torch.Tensor, k: torch.Tensor, group: Group, scaling: float, softcap: float | None) -> torch.Tensor:
    """float32 scores (rows, kv_heads, heads per kv head * new, longest), minus infinity where a key is not seen."""
    scores = torch.matmul(q, k.transpose(-1, -2)).float().mul_(scaling)
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    rows, _, most, longest = group.hidden.shape
    scores.view(rows, -1, most, longest).masked_fill_(group.hidden, float("-inf"))
    return scores


def tree_attention_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    groups: tuple[Group, ...],
    *,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """A few rows a call: hardly any padding; for CPUs. ``groups`` come from ``plan``."""
    tokens = [each.transpose(0, 1).contiguous() for each in (query, key, value)]
    output: torch.Tensor = _RowAttention.apply(*tokens, groups, scaling, softcap)
    return output.transpose(0, 1)


def tree_attention_batched(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: Sequence[Span],
    *,
    scaling: float,
    window: int | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """One padded call for all rows: few kernel launches; for accelerators."""
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
        hidden[row, 0, :count, :length] = _hidden_keys(count, length, window, device)
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
