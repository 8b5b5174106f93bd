"""One optimizer step's worth of KTO or SFT: a window cut into packs, whose gradients add up to the window's."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
from mlx.utils import tree_map

from kto_tui.backends.mlx.compiled import Graded, Passes
from kto_tui.backends.mlx.packs import Pair, alike, pack
from kto_tui.backends.training.reference import ReferenceCache, WindowReference
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import PreparedRow, Window, packs
from kto_tui.methods.kto_loss import LossSettings

# A pass without gradient keeps one layer's activations: so many times the tokens of the largest gradient pack still
# cost less memory than that pack. With checkpointing a gradient pass keeps little more.
WITHOUT_GRADIENT, WITH_CHECKPOINTING = 8, 2

Floats = np.ndarray[Any, np.dtype[np.float32]]
NONE: Floats = np.zeros(0, np.float32)


class StepResult(msgspec.Struct, frozen=True):
    """What one step computed on this process.

    Attributes:
        loss: this process's part of the window's mean.
        kl: z of the window; 0 where the loss has none.
        gradients: this process's part of them, by parameter.
        log_probs: log p(y|x), shape (rows,), which may be none: a window can have fewer rows than there are processes.
        reference: log p_ref(y|x), shape (rows,); empty under SFT.
    """

    loss: float
    kl: float
    gradients: Any
    log_probs: Floats
    reference: Floats

    @property
    def log_ratios(self) -> Floats:
        """log p(y|x) - log p_ref(y|x), shape (rows,)."""
        return self.log_probs - self.reference


def cut(rows: Window, micro_batch: int) -> list[Window]:
    """The packs of a window."""
    return [rows[one.start : one.stop] for one in packs([row.length for row in rows], max_rows=micro_batch)]


def _sum(first: Any, second: Any) -> Any:  # noqa: ANN401 - trees of arrays
    total = second if first is None else tree_map(mx.add, first, second)
    mx.eval(total)
    return total


class SftStep:
    """The mean negative log-likelihood of a window's scored tokens.

    Args:
        passes: over the model.
        micro_batch: rows per pack, at most.
        completion_only: score completions alone, not prompts too.
        add_up: sums a scalar over all processes.
    """

    def __init__(
        self, passes: Passes, *, micro_batch: int, completion_only: bool, add_up: Callable[[mx.array], mx.array]
    ) -> None:
        self.micro_batch = micro_batch
        self.room = 1
        self.reference_model = passes.reference_model
        self._passes = passes
        self._completion_only = completion_only
        self._add_up = add_up

    def pair(self, row: PreparedRow) -> Pair:
        """What is not scored of ``row``, and what is."""
        if self._completion_only:
            return row.prompt_ids, row.completion_ids
        return (), (*row.prompt_ids, *row.completion_ids)

    def scored(self, row: PreparedRow) -> int:
        """Scored tokens of ``row``."""
        prompt, completion = self.pair(row)
        return len(completion) - (not prompt)

    def score(self, rows: Sequence[PreparedRow]) -> list[float]:
        """log p of each row's scored tokens under the model as it stands."""
        return self._passes.log_probs(pack([self.pair(row) for row in rows]))

    def run(self, share: Share) -> StepResult:
        """Loss and gradients of a window."""
        loss, gradients = 0.0, None if share.rows else self._passes.no_gradients()
        log_probs = [NONE]
        tokens = self._add_up(mx.array(float(sum(self.scored(row) for row in share.rows))))
        mx.eval(tokens)  # the others wait for this process's part, which without rows nothing else would compute
        weight = 1 / mx.maximum(tokens, 1)
        for part in cut(share.rows, self.micro_batch):
            graded = self._passes.nll(pack([self.pair(row) for row in part]), weight)
            loss, gradients = _add(loss, gradients, graded, log_probs)
        return StepResult(loss, 0.0, gradients, np.concatenate(log_probs), NONE)


def _add(loss: float, gradients: Any, graded: Graded, log_probs: list[Floats]) -> tuple[float, Any]:  # noqa: ANN401
    mx.eval(graded)
    log_probs.append(np.array(graded[1], dtype=np.float32))
    return loss + float(graded[0].item()), _sum(gradients, graded[2])


class KtoStep:
    """KTO's loss over a window, its KL term estimated once over all of the window's mismatched pairs.

    Args:
        passes: over the model.
        settings: of the loss.
        cache: of reference scores.
        micro_batch: rows per pack, at most.
        add_up: sums a scalar over all processes.
        room: tokens of a pass without gradient, as a multiple of the largest gradient pack's.
    """

    def __init__(
        self,
        passes: Passes,
        settings: LossSettings,
        *,
        cache: ReferenceCache,
        micro_batch: int,
        add_up: Callable[[mx.array], mx.array],
        room: int = WITHOUT_GRADIENT,
    ) -> None:
        self.micro_batch, self.room = micro_batch, room
        self.settings = settings
        self.reference_model = passes.reference_model
        self._passes = passes
        self._cache = cache
        self._add_up = add_up

    def pair(self, row: PreparedRow) -> Pair:
        """Prompt and completion of ``row``."""
        return row.prompt_ids, row.completion_ids

    def scored(self, row: PreparedRow) -> int:
        """Scored tokens of ``row``."""
        return len(row.completion_ids) - (not row.prompt_ids)

    def score(self, rows: Sequence[PreparedRow]) -> list[float]:
        """log p(y|x) of each row under the model as it stands."""
        return self._passes.log_probs(pack([self.pair(row) for row in rows]))

    def _mismatched(self, share: Share) -> list[float]:
        """log p(y'|x) of all rows, in few passes: without gradient more tokens fit than in training."""
        pairs = [(row.prompt_ids, row.kl_completion_ids) for row in share.rows]
        largest = max((sum(row.length for row in part) for part in cut(share.rows, self.micro_batch)), default=0)
        found = [0.0] * len(pairs)
        for rows in alike([len(prompt) + len(completion) for prompt, completion in pairs], self.room * largest):
            for row, score in zip(rows, self._passes.log_probs(pack([pairs[row] for row in rows])), strict=True):
                found[row] = score
        return found

    def reference(self, share: Share) -> WindowReference:
        """Reference scores of the share's rows: from the cache, else computed in the packs that training uses."""
        parts = cut(share.rows, self.micro_batch)
        cuts = tuple(len(part) for part in parts)
        found = None if share.index is None else self._cache.get(share.index, cuts)
        if found is not None:
            return found
        with self.reference_model():
            matched = [score for part in parts for score in self.score(part)]
            mismatched = self._mismatched(share) if self.settings.kl else []
        found = WindowReference(-1 if share.index is None else share.index, cuts, tuple(matched), tuple(mismatched))
        if share.index is not None:
            self._cache.put(found)
        return found

    def kl(self, share: Share, reference: WindowReference | None = None) -> float:
        """z: mean over the window's mismatched pairs on all processes, clamped at 0 once; 0 where the loss has none."""
        if not self.settings.kl:
            return 0.0
        found = self.reference(share) if reference is None else reference
        summed = (mx.array(self._mismatched(share)) - mx.array(found.mismatched)).sum()
        return float(mx.maximum(self._add_up(summed) / share.total, 0).item())

    def run(self, share: Share) -> StepResult:
        """Loss and gradients of a window."""
        reference = self.reference(share)
        z = self.kl(share, reference)
        kl = mx.array(z, dtype=mx.float32)
        graded = self._passes.kto(self.settings)
        loss, gradients, done = 0.0, None if share.rows else self._passes.no_gradients(), 0
        log_probs = [NONE]
        weight = mx.array(1.0 / share.total, dtype=mx.float32)
        for part in cut(share.rows, self.micro_batch):
            scores = mx.array(reference.matched[done : done + len(part)], dtype=mx.float32)
            labels = mx.array([row.label for row in part])
            found = graded(pack([self.pair(row) for row in part]), scores, labels, kl, weight)
            loss, gradients = _add(loss, gradients, found, log_probs)
            done += len(part)
        return StepResult(loss, z, gradients, np.concatenate(log_probs), np.array(reference.matched, np.float32))


Step = KtoStep | SftStep
