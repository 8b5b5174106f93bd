"""Trains adapters: one window a step, clipped gradients, AdamW, figures."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_flatten

from kto_tui.backends.mlx.progress import Progress
from kto_tui.backends.mlx.ranks import Ranks
from kto_tui.backends.mlx.schedule import factor
from kto_tui.backends.mlx.step import KtoStep, Step, StepResult
from kto_tui.backends.mlx.tracing import compiled
from kto_tui.backends.training.guards import StepGuard
from kto_tui.backends.training.memory_relief import MemoryRelief
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import Window, deal
from kto_tui.methods.kto_figures import LabelSums, figures
from kto_tui.methods.kto_loss import LossSettings
from kto_tui.recipe import Recipe


class Trainer:
    """Trains the adapters of ``model`` on ``windows``.

    Args:
        model: of mlx-lm, with adapters.
        windows: effective batches; passed over in the same order each epoch.
        step: computes a window.
        recipe: rate, schedule, clipping, epochs.
        settings: of the loss, for the advice when it breaks.
        guard: of steps without a finite loss.
        relief: when memory runs out.
        ranks: processes that share each window.

    Attributes:
        total_steps: of the whole training.
        rate_scale: factor on the planned learning rate; may change at any time.
        progress: so far.
        guard: as given.
        relief: as given.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        windows: Sequence[Window],
        step: Step,
        recipe: Recipe,
        settings: LossSettings,
        guard: StepGuard,
        relief: MemoryRelief,
        ranks: Ranks,
    ) -> None:
        self.model, self.windows, self.step = model, windows, step
        self._recipe, self._settings = recipe, settings
        self.guard, self.relief, self._ranks = guard, relief, ranks
        self.total_steps = recipe.steps or math.ceil(recipe.epochs * len(windows))
        self._factor = factor(recipe.schedule, steps=self.total_steps, warmup=recipe.warmup)
        self.rate_scale = 1.0
        self.progress = Progress()
        # bias_correction, as every other implementation has it; no decay, as TRL's default.
        self.optimizer = AdamW(learning_rate=self.learning_rate, weight_decay=0.0, bias_correction=True)
        self.optimizer.init(model.trainable_parameters())
        self._compiled: Callable[[Any], None] | None = None

    @property
    def learning_rate(self) -> float:
        """Of the step to come."""
        return self._recipe.learning_rate * self.rate_scale * self._factor(self.progress.step)

    @property
    def epoch(self) -> float:
        """Passes over the windows so far."""
        return self.progress.step / len(self.windows)

    def share(self, index: int) -> Share:
        """This process's part of the window with that index."""
        window = self.windows[index]
        rows = deal(window, rank=self._ranks.rank, ranks=self._ranks.size)
        return Share(index, rows, len(window), self._ranks.size)

    def take_step(self) -> None:
        """One optimizer step.

        Raises:
            TrainingError: the loss is no finite number for the third time in a row.
            RuntimeError, MemoryError: memory ran out and nothing is left to try in this process.
        """
        index = self.progress.step % len(self.windows)
        result, share = self.relief.run(self.step, self.share(index), self.step.run, lambda: None)
        gradients = self._ranks.add_gradients(result.gradients)
        norm = _norm(gradients)
        rate, loss, size = self.learning_rate, self._sum(result.loss), float(norm.item())
        if self.guard.passes(
            loss_finite=bool(np.isfinite(loss)),
            gradients_finite=bool(np.isfinite(size)),
            rows=self.windows[index] if share.ranks > 1 else share.rows,
            settings=self._settings,
            reference_finite=lambda: bool(np.isfinite(result.reference).all()),
            largest_reward=lambda: _largest(self._settings.beta * result.log_ratios) if len(result.reference) else 0.0,
        ):
            self._update(rate, gradients)
        self._record(result, share, loss, size, rate)

    def _update(self, rate: float, gradients: Any) -> None:  # noqa: ANN401 - a tree of arrays
        if self._compiled is None:  # a restored optimizer has arrays of its own, so not sooner
            state = [self.model.state, self.optimizer.state]
            self._compiled = compiled(self._clip_and_update, state, updates=True)
        self.optimizer.learning_rate = rate
        self._compiled(gradients)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)

    def _clip_and_update(self, gradients: Any) -> None:  # noqa: ANN401
        clipped, _ = clip_grad_norm(gradients, self._recipe.max_grad_norm)
        self.optimizer.update(self.model, clipped)

    def _sum(self, value: float) -> float:
        return float(self._ranks.add_up(mx.array(value)).item()) if self._ranks.size > 1 else value

    def _record(self, result: StepResult, share: Share, loss: float, norm: float, rate: float) -> None:
        progress = self.progress
        progress.step += 1
        progress.loss += loss
        progress.tokens += round(self._sum(sum(row.length for row in share.rows)))
        kept = defaultdict(list, progress.figures)
        new = {"grad_norm": norm, "learning_rate": rate}
        if isinstance(self.step, KtoStep):  # with other processes, whether or not rows of this window are here
            new |= figures(
                self._sums(result, share, label=True),
                self._sums(result, share, label=False),
                kl=result.kl,
                beta=self._settings.beta,
            )
        for name, value in new.items():
            kept[name].append(value)
        progress.figures = dict(kept)

    def _sums(self, result: StepResult, share: Share, *, label: bool) -> LabelSums:
        chosen = np.array([row.label for row in share.rows]) == label
        ratios, log_probs = result.log_ratios[chosen], result.log_probs[chosen]
        right = (ratios > 0 if label else ratios < 0).sum()
        here = [float(len(ratios)), float(ratios.sum()), float(log_probs.sum()), float(right)]
        return LabelSums(*(self._sum(each) for each in here))

    def take_point(self) -> dict[str, float]:
        """Means since the last point of the curves by TRL's names, and the tokens since then; begins anew."""
        progress = self.progress
        steps = max(1, progress.step - progress.logged)
        # Norm and rate are those of the last step, as the Trainer logs them.
        last = {"grad_norm", "learning_rate"}
        found = {
            name: values[-1] if name in last else sum(values) / len(values) for name, values in progress.figures.items()
        }
        point = {**found, "loss": progress.loss / steps, "tokens": float(progress.tokens)}
        progress.figures, progress.loss, progress.tokens, progress.logged = {}, 0.0, 0, progress.step
        return point

    def checkpoint_bytes(self) -> int:
        """About what the first checkpoint takes: the adapter, and twice that for Adam's moments."""
        return 3 * sum(int(each.nbytes) for _, each in tree_flatten(self.model.trainable_parameters()))


@mx.compile  # type: ignore[untyped-decorator]
def _norm(gradients: Any) -> mx.array:  # noqa: ANN401
    """L2 norm over a tree of arrays."""
    return mx.sqrt(sum(each.square().sum() for _, each in tree_flatten(gradients)))


def _largest(rewards: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    finite = np.abs(rewards[np.isfinite(rewards)])
    return float(finite.max()) if finite.size else 0.0
