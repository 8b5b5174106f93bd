"""The passes of a step as compiled functions: gradients of a pack, scores of a pack."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_map

from kto_tui.backends.mlx.packs import Pack
from kto_tui.backends.mlx.scoring import Scorer, row_sums
from kto_tui.backends.mlx.tracing import compiled
from kto_tui.methods.kto_loss import LossSettings, row_losses

Gradients = Any
# Loss of the pack, log p of each row, gradients by parameter.
Graded = tuple[mx.array, mx.array, Gradients]


class Passes:
    """Compiled passes over ``model``.

    Compilation reads the model's arrays as inputs, so that one compiled pass serves every step. The reference is
    another tree of arrays and has a pass of its own.

    Args:
        model: of mlx-lm, with adapters.
        vocabulary: entries of its head.
        without_adapters: context in which they are off.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        vocabulary: int,
        without_adapters: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.model = model
        self._without_adapters = without_adapters
        self._vocabulary = vocabulary
        self._scorer = Scorer(model)
        state = [model.state]
        self._policy: Callable[[Pack], mx.array] = compiled(self._row_log_probs, state)
        self._reference: Callable[[Pack], mx.array] = compiled(self._row_log_probs, state)
        self._scores = self._policy
        self._kto: dict[LossSettings, Callable[..., Graded]] = {}
        self._nll = self._graded(self._nll_loss)

    def _row_log_probs(self, pack: Pack) -> mx.array:
        return row_sums(pack, self._scorer.token_log_probs(pack, self._vocabulary))

    @contextlib.contextmanager
    def reference_model(self) -> Iterator[None]:
        """Inside, the model is the reference: adapters are off."""
        with self._without_adapters():
            self._scores = self._reference
            try:
                yield
            finally:
                self._scores = self._policy

    def log_probs(self, pack: Pack) -> list[float]:
        """log p of each row's scored tokens, summed, under the model as it stands; without gradient."""
        found: list[float] = self._scores(pack).tolist()
        return found

    def kto(self, settings: LossSettings) -> Callable[[Pack, mx.array, mx.array, mx.array, mx.array], Graded]:
        """(pack, reference, desirable, kl, share) to loss, log p and gradients.

        ``share``: 1 / rows of the whole window, a scalar; losses of the packs add up to the window's mean.
        """
        if settings not in self._kto:
            self._kto[settings] = self._graded(partial(self._kto_loss, settings))
        return self._kto[settings]

    def no_gradients(self) -> Gradients:
        """Those of no rows at all: zeros, computed already as those of a step are."""
        found = tree_map(mx.zeros_like, self.model.trainable_parameters())
        mx.eval(found)
        return found

    def _graded(self, loss: Callable[..., tuple[mx.array, mx.array]]) -> Callable[..., Graded]:
        """A function to loss and log p, compiled with its gradients."""
        both = nn.value_and_grad(self.model, loss)

        def gradients(*args: Any) -> Graded:  # noqa: ANN401
            (value, log_probs), found = both(*args)
            return value, log_probs, found

        return compiled(gradients, [self.model.state])

    def _kto_loss(
        self,
        settings: LossSettings,
        pack: Pack,
        reference: mx.array,
        desirable: mx.array,
        kl: mx.array,
        share: mx.array,
    ) -> tuple[mx.array, mx.array]:
        log_probs = self._row_log_probs(pack)
        losses = row_losses(
            mx,
            log_probs - reference,
            desirable,
            kl,
            beta=settings.beta,
            loss_type=settings.loss_type,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
        )
        return losses.sum() * share, log_probs

    def nll(self, pack: Pack, share: mx.array) -> Graded:
        """Negative log-likelihood times ``share`` (1 / scored tokens of the whole window), log p, gradients."""
        return self._nll(pack, share)

    def _nll_loss(self, pack: Pack, share: mx.array) -> tuple[mx.array, mx.array]:
        log_probs = self._row_log_probs(pack)
        return -log_probs.sum() * share, log_probs
