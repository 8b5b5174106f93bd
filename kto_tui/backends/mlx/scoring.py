"""Log-probabilities of chosen tokens under a model of mlx-lm, its head applied to their positions alone."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import mlx.core as mx
from mlx import nn

from kto_tui.backends.mlx.packs import Pack
from kto_tui.errors import UserError

# Bytes of a tile of logits in float32; larger ones cost memory and gain nothing.
TILE_BYTES = 48 * 2**20
BLOCK = 256
# Where mlx-lm's models have their decoder.
PLACES = ("model", "transformer", "backbone")
# States of positions, shape (scored, hidden), and tokens, shape (scored,), to log p, shape (scored,).
Head = Callable[[mx.array, mx.array], mx.array]


def log_sum_exp(logits: mx.array) -> mx.array:
    """log of the sum of exp over the last axis: shape (..., vocabulary) to (...,), float32.

    On processors MLX's float32 sum over a large vocabulary loses about 7e-5 of each token's log-probability and 1e-3 of
    gradients: there the sum is taken in blocks, then over the blocks. Metal's kernel sums in a tree by itself.
    """
    if mx.default_device() == mx.gpu:
        return mx.logsumexp(logits, axis=-1)
    size = logits.shape[-1]
    largest = mx.stop_gradient(logits.max(axis=-1, keepdims=True))
    powers = mx.exp(logits - largest)
    if rest := -size % BLOCK:
        powers = mx.pad(powers, [(0, 0)] * (powers.ndim - 1) + [(0, rest)])
    blocks = powers.reshape(*powers.shape[:-1], -1, BLOCK).sum(axis=-1)
    return mx.log(blocks.sum(axis=-1)) + largest.squeeze(-1)


class Scorer:
    """Scores packs under ``model`` as it stands: adapters on or off.

    mlx-lm's language models are a decoder and a head that their own ``__call__`` applies (tied embeddings, scaling,
    soft caps). The decoder gets a subclass that keeps the states it makes, or hands out states given to it: it is
    called as the model calls it, and the head is applied to any states by the model's own code.

    Args:
        model: of mlx-lm.

    Raises:
        UserError: its decoder is in no place known here.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - mlx-lm's classes have no common type
        self._model = model
        self._given: mx.array | None = None
        self._keeping = False
        self._made: mx.array | None = None
        decoder = decoder_of(model)
        kind = type(decoder)
        scorer = self

        class Giving(kind):  # type: ignore[misc, valid-type]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                if scorer._given is not None:
                    return scorer._given
                found = super().__call__(*args, **kwargs)
                if scorer._keeping:
                    scorer._made = found
                return found

        Giving.__name__ = kind.__name__
        decoder.__class__ = Giving

    @contextlib.contextmanager
    def _handing_out(self, states: mx.array) -> Iterator[None]:
        self._given = states
        try:
            yield
        finally:
            self._given = None

    def _states(self, ids: mx.array) -> mx.array:
        """Of the decoder, shape (rows, positions, hidden). MLX computes no logits of them, for nobody asks for those.

        Raises:
            UserError: the model does not go through its decoder.
        """
        self._keeping = True
        try:
            self._model(ids)
        finally:
            self._keeping, made, self._made = False, self._made, None
        if made is None:
            raise no_decoder(self._model)
        return made

    def _head(self, states: mx.array, targets: mx.array) -> mx.array:
        with self._handing_out(states[None]):
            logits = self._model(targets[None])[0].astype(mx.float32)
        chosen = mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
        return chosen - log_sum_exp(logits)

    def token_log_probs(self, pack: Pack, vocabulary: int) -> mx.array:
        """log p of each scored token, shape (scored,), float32; for differentiable use inside a gradient too.

        Logits are made a tile at a time, and made again for the gradient.

        Args:
            pack: the rows.
            vocabulary: entries of the head, which decide how many positions a tile has.
        """
        hidden = self._states(pack.ids)
        states = hidden.reshape(-1, hidden.shape[-1])[pack.sources]
        tile = max(16, TILE_BYTES // (4 * vocabulary) // 16 * 16)
        if states.shape[0] <= tile:
            return self._head(states, pack.targets)
        return in_tiles(self._head, tile)(states, pack.targets)


def in_tiles(head: Head, size: int) -> Head:
    """``head`` applied to ``size`` positions at a time, and again for the gradient, by a tile as well.

    Every tile waits for the one before: MLX evaluates whatever does not depend on each other side by side, and would
    hold the logits of all tiles at once. So does ``mlx.core.checkpoint``, whose gradients have no order either.
    """

    def tiles(states: mx.array, *more: mx.array) -> list[tuple[mx.array, ...]]:
        starts = range(0, states.shape[0], size)
        return [tuple(each[start : start + size] for each in (states, *more)) for start in starts]

    def after(states: mx.array, done: list[mx.array]) -> mx.array:
        waiting: mx.array = mx.depends([states], done[-1:])[0] if done else states
        return waiting

    @mx.custom_function  # type: ignore[untyped-decorator, unused-ignore]
    def scores(states: mx.array, targets: mx.array) -> mx.array:
        done: list[mx.array] = []
        for part, wanted in tiles(states, targets):
            done.append(head(after(part, done), wanted))
        return mx.concatenate(done)

    @scores.vjp  # type: ignore[untyped-decorator, unused-ignore]
    def gradient(primals: Any, cotangent: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:  # noqa: ANN401
        states, targets = primals
        done: list[mx.array] = []
        for part, wanted, weight in tiles(states, targets, cotangent):
            _, (found,) = mx.vjp(partial(_with_targets, head, wanted), [after(part, done)], [weight])
            done.append(found)
        return mx.concatenate(done), mx.zeros_like(targets)

    made: Head = scores
    return made


def _with_targets(head: Head, targets: mx.array, states: mx.array) -> mx.array:
    return head(states, targets)


def row_sums(pack: Pack, values: mx.array) -> mx.array:
    """``values`` of scored tokens summed by row: shape (scored,) to (rows,)."""
    return (pack.member * values[None]).sum(axis=-1)


def decoder_of(model: Any) -> nn.Module:  # noqa: ANN401
    """The part of ``model`` below its head, or with it where they are one.

    Raises:
        UserError: it is in no place known here.
    """
    holder = model
    while isinstance(inner := getattr(holder, "language_model", None), nn.Module):
        holder = inner
    for name in PLACES:
        if isinstance(found := getattr(holder, name, None), nn.Module):
            return found
    raise no_decoder(model)


def no_decoder(model: Any) -> UserError:  # noqa: ANN401
    """Why a model cannot be scored."""
    what = f"{type(model).__module__} keeps its decoder in no place known here"
    return UserError(what, mend='Choose another model, or set backend to "hf"', where="the model")
