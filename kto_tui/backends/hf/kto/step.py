"""One optimizer step's worth of KTO: the KL term once over the whole window, then each pack forward and backward."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec
import torch

from kto_tui.backends.hf.kto.lora import unchanging_adapters
from kto_tui.backends.hf.kto.scorer import Rows, Scorer, Shared
from kto_tui.backends.training.reference import ReferenceCache, WindowReference
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import Window, packs
from kto_tui.methods.kto_loss import LossSettings, row_losses

# A pass without gradient keeps one layer's activations, a gradient pass every layer's: so many times the tokens of
# the largest gradient pack still cost less memory than that pack. With checkpointing a gradient pass keeps little more.
WITHOUT_GRADIENT, WITH_CHECKPOINTING = 8, 2


class StepResult(msgspec.Struct, frozen=True):
    """What one step computed on this process; ``loss`` is this process's part of the window's mean.

    ``log_probs``, ``reference`` (its log-probabilities), ``log_ratios`` and ``desirable`` are of shape (rows,), without
    gradient.
    """

    loss: torch.Tensor
    kl: torch.Tensor
    log_probs: torch.Tensor
    reference: torch.Tensor
    log_ratios: torch.Tensor
    desirable: torch.Tensor


class KtoStep:
    """Computes windows.

    Args:
        scorer: packed or padded.
        settings: of the loss.
        reference_model: context in which the scorer's model is the reference (adapters disabled); None: the
            reference must be in ``cache`` (full fine-tuning).
        cache: of reference scores.
        micro_batch: rows per pack, at most.
        add_up: sums a tensor over all processes.
        room: tokens of a pass without gradient, as a multiple of the largest gradient pack's.
        device: of the results.
    """

    def __init__(
        self,
        scorer: Scorer,
        settings: LossSettings,
        *,
        reference_model: Callable[[], AbstractContextManager[None]] | None,
        cache: ReferenceCache,
        micro_batch: int,
        add_up: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        room: int = WITHOUT_GRADIENT,
    ) -> None:
        self.room = room
        self.scorer = scorer
        self.settings = settings
        self.reference_model = reference_model
        self._cache = cache
        self._add_up = add_up
        self._device = device
        self.micro_batch = micro_batch
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - begin

    def _cut(self, share: Share) -> list[Window]:
        lengths = [row.length for row in share.rows]
        cuts = packs(lengths, max_rows=self.micro_batch)
        return [share.rows[cut.start : cut.stop] for cut in cuts]

    def reference(self, share: Share, parts: list[Window] | None = None) -> WindowReference:
        """Reference scores of the share's rows: from the cache, else computed in the packs that training uses."""
        parts = self._cut(share) if parts is None else parts
        cuts = tuple(len(part) for part in parts)
        found = None if share.index is None else self._cache.get(share.index, cuts)
        if found is not None:
            return found
        if self.reference_model is None:
            raise RuntimeError(f"window {share.index} has no reference scores, and its model has been trained since")
        matched: list[float] = []
        mismatched: list[float] = []
        joint = self._joint(share)
        with self._timed("reference"), torch.no_grad(), self.reference_model():
            for part in parts:
                scores, shared = self.scorer.matched(part, keep=joint)
                matched += scores.tolist()
                if joint:
                    mismatched += self.scorer.mismatched(part, shared).tolist()
            if self.settings.kl and not joint:
                mismatched = self._mismatched(share.rows, parts).tolist()
        found = WindowReference(-1 if share.index is None else share.index, cuts, tuple(matched), tuple(mismatched))
        if share.index is not None:
            self._cache.put(found)
        return found

    def _mismatched(self, rows: Window, parts: list[Window]) -> torch.Tensor:
        """Scores of all mismatched pairs, in few packs: without gradient more tokens fit than in training."""
        lengths = [len(row.prompt_ids) + len(row.kl_completion_ids) for row in rows]
        room = self.room * max(sum(row.length for row in part) for part in parts)
        cuts = packs(lengths, max_rows=len(rows), max_tokens=room)
        return torch.cat([self.scorer.mismatched(rows[cut.start : cut.stop]) for cut in cuts])

    def _joint(self, share: Share) -> bool:
        """Whether the mismatched pass can start from the matched pass's prompts: only if there is one pack.

        Every process answers the same, because they exchange KL at that point.
        """
        one_pack = -(-share.total // share.ranks) <= self.micro_batch
        return self.settings.kl and one_pack and self.scorer.shares_prompts

    def _tensor(self, values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def _kl(self, share: Share, policy: torch.Tensor, reference: tuple[float, ...]) -> torch.Tensor:
        """z: mean over the window's mismatched pairs on all processes, clamped at 0 once."""
        summed = (policy - self._tensor(reference)).sum()
        return (self._add_up(summed) / share.total).clamp(min=0)

    @unchanging_adapters()
    def run(
        self,
        share: Share,
        backward: Callable[[torch.Tensor], None] | None,
        unsynchronised: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> StepResult:
        """Loss and, with ``backward``, gradients of one window.

        Args:
            share: this process's rows.
            backward: called with each pack's loss, whose sum over packs and mean over processes is the window's mean.
            unsynchronised: context for all packs but the last, in which processes do not exchange gradients.
        """
        parts = self._cut(share)
        reference = self.reference(share, parts)
        kl = torch.zeros((), device=self._device)
        joint = self._joint(share)
        if self.settings.kl and not joint:
            with self._timed("kl"):
                kl = self._kl(share, self._mismatched(share.rows, parts), reference.mismatched)
        results = []
        done = 0
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            with contextlib.nullcontext() if last else unsynchronised():
                with self._timed("forward"), torch.set_grad_enabled(backward is not None):
                    log_probs, shared = self.scorer.matched(part, keep=joint)
                if joint:
                    kl = self._joint_kl(share, part, shared, reference)
                result = self._pack_loss(share, part, log_probs, reference.matched[done : done + len(part)], kl)
                if backward is not None:
                    with self._timed("backward"):
                        backward(result.loss)
            done += len(part)
            # A loss that kept its graph would keep the pack's embeddings and states until the window's end.
            results.append(msgspec.structs.replace(result, loss=result.loss.detach()))
        return _join(results, kl)

    def _joint_kl(self, share: Share, part: Rows, shared: Shared | None, reference: WindowReference) -> torch.Tensor:
        with self._timed("kl"):
            return self._kl(share, self.scorer.mismatched(part, shared), reference.mismatched)

    def _pack_loss(
        self, share: Share, part: Rows, log_probs: torch.Tensor, reference: tuple[float, ...], kl: torch.Tensor
    ) -> StepResult:
        desirable = torch.tensor([row.label for row in part], dtype=torch.bool, device=self._device)
        reference_scores = self._tensor(reference)
        log_ratios = log_probs - reference_scores
        losses = row_losses(
            torch,
            log_ratios,
            desirable,
            kl,
            beta=self.settings.beta,
            loss_type=self.settings.loss_type,
            desirable_weight=self.settings.desirable_weight,
            undesirable_weight=self.settings.undesirable_weight,
        )
        # Processes average their gradients: times ranks makes that average the mean over the window's rows.
        loss = losses.sum() * share.ranks / share.total
        return StepResult(loss, kl, log_probs.detach(), reference_scores, log_ratios.detach(), desirable)


def _join(results: list[StepResult], kl: torch.Tensor) -> StepResult:
    return StepResult(
        loss=torch.stack([result.loss for result in results]).sum(),
        kl=kl,
        log_probs=torch.cat([result.log_probs for result in results]),
        reference=torch.cat([result.reference for result in results]),
        log_ratios=torch.cat([result.log_ratios for result in results]),
        desirable=torch.cat([result.desirable for result in results]),
    )
