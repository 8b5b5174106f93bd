"""Log-probabilities of completion tokens without ever keeping their logits."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from kto_tui.backends.hf.kto import layout

# Logits of one tile, as if in float32: enough rows for a good matrix product.
TILE_BYTES = 24 * 2**20
# Of a tile, so many rows are in float32 at a time on CPUs: few enough to stay in the caches.
FLOAT_ROWS = 16
# Scratch memory of the last tile, by what it must match: taking it afresh for every pass costs page faults.
_scratch: dict[tuple[int, int, torch.dtype, torch.device], tuple[torch.Tensor, ...]] = {}


def _buffers(rows: int, vocabulary: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Two tiles in ``dtype`` and two, of ``FLOAT_ROWS`` rows on CPUs, in float32."""
    key = (rows, vocabulary, dtype, device)
    if key not in _scratch:
        _scratch.clear()
        few = min(FLOAT_ROWS, rows) if layout.on_cpu(device) else rows
        _scratch[key] = tuple(
            torch.empty(count, vocabulary, dtype=each, device=device)
            for count, each in ((rows, dtype), (rows, dtype), (few, torch.float32), (few, torch.float32))
        )
    return _scratch[key]


def tile_size(weight: torch.Tensor) -> int:
    """Rows per tile for a head of shape (vocabulary, hidden_size), a multiple of 8."""
    rows: int = TILE_BYTES // (4 * weight.shape[0])
    return max(16, rows // 8 * 8)


class _Tiles:
    """Cuts the scored tokens into tiles, which share one set of buffers."""

    def __init__(
        self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, scale: float, softcap: float | None
    ) -> None:
        self._hidden, self._weight, self._bias = hidden, weight, bias
        self._scale, self._softcap = scale, softcap
        self._size = tile_size(weight)
        self._raw, self._slopes, self._float, self._log_probs = _buffers(
            self._size, weight.shape[0], weight.dtype, weight.device
        )

    def __iter__(self) -> Iterator[slice]:
        for start in range(0, len(self._hidden), self._size):
            yield slice(start, min(start + self._size, len(self._hidden)))

    def log_probs(self, tile: slice, targets: torch.Tensor) -> torch.Tensor:
        """float32 log p(target), shape (tile,)."""
        rows = tile.stop - tile.start
        logits = torch.mm(self._hidden[tile], self._weight.t(), out=self._raw[:rows])
        if self._bias is not None:
            logits += self._bias
        if self._scale != 1.0 or self._softcap is not None:
            logits.copy_(_capped(logits.float(), self._scale, self._softcap))
        targets = targets[tile]
        found = torch.empty(rows, dtype=torch.float32, device=logits.device)
        for start in range(0, rows, len(self._float)):
            stop = min(start + len(self._float), rows)
            wide, out = self._float[: stop - start], self._log_probs[: stop - start]
            torch.log_softmax(wide.copy_(logits[start:stop]), 1, out=out)
            found[start:stop] = out.gather(1, targets[start:stop, None]).squeeze(1)
        return found

    def slopes(self, tile: slice, targets: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
        """Derivatives of the target's log-probability by the raw logits, shape (tile, vocabulary).

        Call right after ``log_probs`` of the same tile; its buffer is taken over.
        """
        rows = tile.stop - tile.start
        logits = self._raw[:rows]
        bend = None
        if self._softcap is not None:
            bend = 1 - (logits.float() / self._softcap).square()
        slopes = torch.softmax(logits, 1, out=self._slopes[:rows]).neg_()
        # In the logits' dtype 1 - p would lose most of a confident token's gradient: it is made in float32.
        # (Indexed, because scatter_ copies the whole tile on CPUs.)
        slopes[torch.arange(rows, device=slopes.device), targets[tile]] = (1 - log_probs.exp()).to(slopes.dtype)
        if bend is not None:
            slopes = (slopes * bend).to(slopes.dtype)
        return slopes.mul_(self._scale) if self._scale != 1.0 else slopes


def _capped(logits: torch.Tensor, scale: float, softcap: float | None) -> torch.Tensor:
    logits.mul_(scale)
    return logits if softcap is None else logits.div_(softcap).tanh_().mul_(softcap)


class _CompletionLogProbs(torch.autograd.Function):  # type: ignore[misc]
    """With a frozen head the gradient for the hidden states is made in the forward pass, so logits are made once."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        scale: float,
        softcap: float | None,
    ) -> torch.Tensor:
        log_probs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        head_learns = weight.requires_grad or (bias is not None and bias.requires_grad)
        ahead = torch.empty_like(hidden) if hidden.requires_grad and not head_learns else None
        tiles = _Tiles(hidden, weight, bias, scale, softcap)
        for tile in tiles:
            log_probs[tile] = tiles.log_probs(tile, targets)
            if ahead is not None:
                torch.mm(tiles.slopes(tile, targets, log_probs[tile]), weight, out=ahead[tile])
        ctx.head_learns = head_learns
        ctx.options = (scale, softcap)
        if head_learns:
            ctx.save_for_backward(hidden, weight, bias, targets)
        else:
            ctx.save_for_backward(ahead)
        return log_probs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        gradient = gradients[0][:, None]
        if not ctx.head_learns:
            (ahead,) = ctx.saved_tensors
            return (ahead * gradient).to(ahead.dtype), None, None, None, None, None
        hidden, weight, bias, targets = ctx.saved_tensors
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        tiles = _Tiles(hidden, weight, bias, *ctx.options)
        for tile in tiles:
            raw = tiles.slopes(tile, targets, tiles.log_probs(tile, targets)).mul_(gradient[tile])
            if d_bias is not None:
                d_bias += raw.float().sum(0)
            d_hidden[tile] = raw @ weight
            d_weight += (raw.t() @ hidden[tile]).float()
        return (
            d_hidden,
            d_weight.to(weight.dtype) if weight.requires_grad else None,
            None if d_bias is None or bias is None or not bias.requires_grad else d_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def completion_log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    scale: float = 1.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """log p(target | hidden) in float32, shape (scored,).

    Args:
        hidden: final hidden states that predict the targets, shape (scored, hidden_size).
        weight: of the LM head, shape (vocabulary, hidden_size).
        bias: of the LM head, shape (vocabulary,), or None.
        targets: token ids, shape (scored,).
        scale: factor on the logits (``logit_scale`` and its relatives).
        softcap: cap on the logits (``final_logit_softcapping``).
    """
    count = len(targets)
    if layout.on_cpu(hidden.device):
        rest, size = count % tile_size(weight), tile_size(weight)
        padding = min(layout.round_up(rest), size) - rest
        hidden, targets = functional.pad(hidden, (0, 0, 0, padding)), functional.pad(targets, (0, padding))
    log_probs: torch.Tensor = _CompletionLogProbs.apply(hidden, weight, bias, targets, scale, softcap)
    return log_probs[:count]
