"""Attention over a prefix tree for CPUs: matrix products and softmax, a few rows at a time.

Gives each new token the softmax attention over its own path from the root, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kto_tui.backends.hf.kto.layout import Span, hidden_keys, round_up

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Group:
    """Rows that one set of matrix products attends for, padded to sizes that come again (see ``round_up``).

    Attributes:
        queries: index of each new token, shape (rows, queries); padding repeats the row's last.
        keys: tree index of each row's path, shape (rows, keys); padding repeats the row's last.
        counts: (new tokens, first new token) per row.
        runs: per row, (start in the tree, start in the path, length) of the path's contiguous stretches.
        mask: 0, or minus infinity where a key is not seen, shape (rows, 1, 1, queries, keys).
    """

    queries: torch.Tensor
    keys: torch.Tensor
    counts: tuple[tuple[int, int], ...]
    runs: tuple[tuple[tuple[int, int, int], ...], ...]
    mask: torch.Tensor


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


def plan(spans: Sequence[Span], window: int | None, dtype: torch.dtype) -> tuple[Group, ...]:
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
    return tuple(_group(members, window, dtype) for members in groups)


def _group(members: Sequence[Span], window: int | None, dtype: torch.dtype) -> Group:
    counts = tuple((span.stop - span.start, span.start) for span in members)
    most = round_up(max(count for count, _ in counts))
    longest = round_up(max(span.path.numel() for span in members))
    paths = [span.path.tolist() for span in members]
    hidden = torch.ones(len(members), 1, 1, most, longest, dtype=torch.bool)
    hidden[..., 0] = False  # a padded query sees something: a row of minus infinities alone has no softmax
    for row, (count, _) in enumerate(counts):
        length = len(paths[row])
        hidden[row, 0, 0, :count, :length] = hidden_keys(count, length, window, hidden.device)
    queries = [[*range(start, start + count), *[start + count - 1] * (most - count)] for count, start in counts]
    keys = [path + [path[-1]] * (longest - len(path)) for path in paths]
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
    return Group(torch.tensor(queries), torch.tensor(keys), counts, tuple(map(_runs, paths)), mask)


class _RowAttention(torch.autograd.Function):  # type: ignore[misc]
    """Matrix products and softmax, a few rows at a time; probabilities are made again in the backward pass.

    On CPUs the backward pass of sdpa in bf16 is slower than these products (benchmarks/README.md). Tensors come as
    (tokens, heads, head_dim), the order in which the projections leave them. Products and softmax add up in float32
    and leave the model's dtype.
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
            _attend(output, (query, key, value), group, scaling, softcap)
        _silence_rest(output, groups)
        ctx.save_for_backward(query, key, value)
        ctx.options = (groups, scaling, softcap)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        query, key, value = ctx.saved_tensors
        groups, scaling, softcap = ctx.options
        gradient = gradients[0].contiguous()
        # Tokens that rows share add up their rows' gradients: in float32, whatever the model's dtype.
        d_query = torch.empty_like(query)
        d_key = torch.zeros_like(key, dtype=torch.float32)
        d_value = torch.zeros_like(value, dtype=torch.float32)
        for group in groups:
            _differentiate((d_query, d_key, d_value), (query, key, value, gradient), group, scaling, softcap)
        _silence_rest(d_query, groups)
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None


def _attend(output: torch.Tensor, inputs: Tensors, group: Group, scaling: float, softcap: float | None) -> None:
    """Attend for one group, into ``output``. A function of its own, so that no group's scores outlive it."""
    query, key, value = inputs
    q, k, v = _gather(query, group.queries, key.shape[1]), _paths(key, group), _paths(value, group)
    weights = torch.softmax(_scores(q, k, group, scaling, softcap)[0], dim=-1)
    _scatter(output, torch.bmm(weights, v), group)


def _differentiate(sums: Tensors, inputs: Tensors, group: Group, scaling: float, softcap: float | None) -> None:
    """One group's part of the gradients of query, key and value, into ``sums``."""
    (d_query, d_key, d_value), (query, key, value, gradient) = sums, inputs
    q, g = (_gather(each, group.queries, key.shape[1]) for each in (query, gradient))
    _silence_padding(g, group)
    k, v = _paths(key, group), _paths(value, group)
    scores, bend = _scores(q, k, group, scaling, softcap)
    weights = torch.softmax(scores, dim=-1)
    _add_paths(d_value, torch.bmm(weights.transpose(1, 2), g), group)
    d_weights = torch.bmm(g, v.transpose(1, 2))
    d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)  # noqa: SLF001
    if bend is not None:
        d_scores.mul_(bend)
    _scatter(d_query, _product(d_scores, k, scaling), group)
    _add_paths(d_key, _product(d_scores.transpose(1, 2), q, scaling), group)


def _gather(tokens: torch.Tensor, queries: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """(tokens, heads, dim) to (rows * kv_heads, heads per kv head * queries, dim)."""
    rows, most = queries.shape
    _, heads, dim = tokens.shape
    picked = tokens.index_select(0, queries.flatten()).view(rows, most, kv_heads, heads // kv_heads, dim)
    return picked.permute(0, 2, 3, 1, 4).reshape(rows * kv_heads, -1, dim)


def _scatter(tokens: torch.Tensor, attended: torch.Tensor, group: Group) -> None:
    """The inverse of ``_gather``, without the padding, into ``tokens``."""
    _, heads, dim = tokens.shape
    rows, most = group.queries.shape
    kv_heads = attended.shape[0] // rows
    ordered = attended.view(rows, kv_heads, heads // kv_heads, most, dim).permute(0, 3, 1, 2, 4)
    for row, (count, start) in enumerate(group.counts):
        tokens[start : start + count].view(count, kv_heads, -1, dim).copy_(ordered[row, :count])


def _silence_rest(tokens: torch.Tensor, groups: tuple[Group, ...]) -> None:
    """Zero the padding after the last new token: no row's attention writes it."""
    count, start = groups[-1].counts[-1]
    tokens[start + count :] = 0


def _paths(tokens: torch.Tensor, group: Group) -> torch.Tensor:
    """(tokens, kv_heads, dim) to (rows * kv_heads, keys, dim)."""
    rows, longest = group.keys.shape
    _, kv_heads, dim = tokens.shape
    picked = tokens.index_select(0, group.keys.flatten()).view(rows, longest, kv_heads, dim)
    return picked.transpose(1, 2).reshape(rows * kv_heads, longest, dim)


def _add_paths(total: torch.Tensor, part: torch.Tensor, group: Group) -> None:
    """Add (rows * kv_heads, keys, dim) to the tokens it stands for; padding has no gradient and is not added."""
    ordered = part.view(len(group.runs), -1, *part.shape[1:]).transpose(1, 2)
    for row, runs in enumerate(group.runs):
        for tree, start, length in runs:
            total[tree : tree + length] += ordered[row, start : start + length]


def _silence_padding(gradient: torch.Tensor, group: Group) -> None:
    """Zero, in place, what ``_gather`` repeated to pad shorter rows."""
    rows, most = group.queries.shape
    folded = gradient.view(rows, -1, most, gradient.shape[-1])
    for row, (count, _) in enumerate(group.counts):
        if count < most:
            folded[row, :, count:] = 0


def _product(left: torch.Tensor, right: torch.Tensor, factor: float) -> torch.Tensor:
    """``factor`` * left @ right of (batch, m, k) and (batch, k, n), scaled before it is rounded to the dtype."""
    out = left.new_empty(left.shape[0], left.shape[1], right.shape[2])
    return out.baddbmm_(left, right, beta=0, alpha=factor)


def _scores(
    q: torch.Tensor, k: torch.Tensor, group: Group, scaling: float, softcap: float | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Masked scores (batch, heads per kv head * queries, keys) and, if capped, the cap's derivative."""
    rows, _, _, most, longest = group.mask.shape
    repeats = q.shape[1] // most
    mask = group.mask.expand(rows, q.shape[0] // rows, repeats, most, longest)
    if softcap is None:
        scores = mask.clone(memory_format=torch.contiguous_format).view(q.shape[0], -1, longest)
        return scores.baddbmm_(q, k.transpose(1, 2), alpha=scaling), None
    bounded = _product(q, k.transpose(1, 2), scaling / softcap).float().tanh_()
    bend = (1 - bounded.square()).to(q.dtype)
    capped = bounded.mul_(softcap).view(mask.shape).add_(mask).view(q.shape[0], -1, longest)
    return capped.to(q.dtype), bend


def tree_attention_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    groups: tuple[Group, ...],
    *,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attended values as query: (heads, padded new, head_dim); padding after the new tokens becomes 0.

    Args:
        query: shape (heads, padded new, head_dim).
        key: shape (kv_heads, past + padded new, head_dim), and ``value`` alike.
        groups: from ``plan``.
        scaling: of the scores.
        softcap: cap on the scores.
    """
    tokens = [each.transpose(0, 1).contiguous() for each in (query, key, value)]
    output: torch.Tensor = _RowAttention.apply(*tokens, groups, scaling, softcap)
    return output.transpose(0, 1)
