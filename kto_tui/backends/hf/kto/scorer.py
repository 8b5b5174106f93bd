"""Summed log-probabilities of completions: packed in prefix trees, or padded where that is not proven."""

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kto_tui.backends.hf.kto.attention import PACKED, PACKED_SOFTCAPPED, TreePass, register
from kto_tui.backends.hf.kto.head import completion_log_probs
from kto_tui.backends.hf.kto.layout import PrefixTree
from kto_tui.backends.hf.kto.pointwise import fuse_pointwise
from kto_tui.data.prepare import PreparedRow

Rows = Sequence[PreparedRow]


@dataclass
class Shared:
    """What the matched pass over a pack leaves for the mismatched one: the tree, its keys and values, its states."""

    tree: PrefixTree
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]]
    hidden: torch.Tensor


class Scorer(Protocol):
    """Scores the rows of one pack under the model as it stands: adapters on or off, gradient or none."""

    model: Any
    shares_prompts: bool

    def matched(self, rows: Rows, *, keep: bool = False) -> tuple[torch.Tensor, Shared | None]:
        """log p(y|x) summed over completion tokens, shape (rows,), and what ``mismatched`` can use if ``keep``."""

    def mismatched(self, rows: Rows, shared: Shared | None = None) -> torch.Tensor:
        """log p(y'|x) summed over the mismatched completion's tokens, shape (rows,), without gradient."""


def _packed_forward(
    self: Any,  # noqa: ANN401 - the causal language model
    *args: Any,  # noqa: ANN401
    kto_pass: TreePass | None = None,
    earlier: torch.Tensor | None = None,
    **kwargs: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """The model's own forward, except for packs: (log-probabilities of scored tokens, hidden states of the tree)."""
    if kto_pass is None:
        return self.forward_without_packs(*args, **kwargs)
    layout = kto_pass.layout
    if layout.new:
        # A mask of four dimensions is taken as it is; tree attention knows its own.
        mask = torch.empty(1, 1, 1, 1, device=layout.input_ids.device)
        output = self.base_model(
            input_ids=layout.input_ids[None],
            position_ids=layout.position_ids[None],
            attention_mask=mask,
            use_cache=False,
            kto_pass=kto_pass,
        )
        hidden = output.last_hidden_state[0, : layout.new]
        if earlier is not None:
            hidden = torch.cat([earlier.to(hidden.dtype), hidden])
    else:  # rows with one prompt: every mismatched pair is another row's matched one
        hidden = earlier
    head = self.get_output_embeddings()
    scores = completion_log_probs(
        hidden[layout.sources].to(head.weight.dtype),
        head.weight,
        head.bias,
        layout.targets,
        softcap=getattr(self.config, "final_logit_softcapping", None),
    )
    return scores, hidden


def install_packs(model: Any) -> None:  # noqa: ANN401 - a causal language model
    """Give the base model the packed forward and attention; generation and everything else stay as they were."""
    register()
    softcapped = getattr(model.config, "attn_logit_softcapping", None) is not None
    model.set_attn_implementation(PACKED_SOFTCAPPED if softcapped else PACKED)
    model.forward_without_packs = model.forward
    model.forward = types.MethodType(_packed_forward, model)
    fuse_pointwise(model)


class PackedScorer:
    """Computes every token once that rows share from their start, and no padding.

    Args:
        model: the (wrapped) policy; its base model went through ``install_packs``.
        device: where the packs go.
    """

    shares_prompts = True

    def __init__(self, model: Any, device: torch.device) -> None:  # noqa: ANN401
        self.model = model
        self._device = device

    def _score(
        self,
        tree: PrefixTree,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        shared: Shared | None,
        *,
        keep: bool,
    ) -> tuple[torch.Tensor, Shared]:
        layout = tree.grow(pairs)
        tree_pass = TreePass(layout, padded=not tree.rounds, keep=keep)
        if shared is not None:
            tree_pass.past = shared.kept
        scores, hidden = self.model(
            input_ids=None, kto_pass=tree_pass, earlier=None if shared is None else shared.hidden
        )
        summed = torch.zeros(layout.sequences, dtype=torch.float32, device=scores.device)
        summed = summed.index_add(0, layout.rows, scores.float())
        return summed, Shared(tree, tree_pass.kept, hidden.detach())

    def matched(self, rows: Rows, *, keep: bool = False) -> tuple[torch.Tensor, Shared | None]:
        """See ``Scorer``."""
        tree = PrefixTree(self._device)
        scores, shared = self._score(tree, [(row.prompt_ids, row.completion_ids) for row in rows], None, keep=keep)
        return scores, shared if keep else None

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def mismatched(self, rows: Rows, shared: Shared | None = None) -> torch.Tensor:
        """See ``Scorer``; with ``shared`` only the mismatched completions themselves are computed."""
        tree = PrefixTree(self._device) if shared is None else shared.tree
        return self._score(tree, [(row.prompt_ids, row.kl_completion_ids) for row in rows], shared, keep=False)[0]


class PaddedScorer:
    """The plain path: rows padded on the right and scored by TRL (``trl.trainer.utils.add_fused_lm_head``)."""

    shares_prompts = False

    def __init__(self, model: Any, device: torch.device, pad_token_id: int) -> None:  # noqa: ANN401
        self.model = model
        self._device = device
        self._pad = pad_token_id

    def _score(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> torch.Tensor:
        width = max(len(prompt) + len(completion) for prompt, completion in pairs)
        ids = torch.full((len(pairs), width), self._pad, dtype=torch.long)
        labels = torch.full((len(pairs), width), -100, dtype=torch.long)
        mask = torch.zeros(len(pairs), width, dtype=torch.long)
        for i, (prompt, completion) in enumerate(pairs):
            length = len(prompt) + len(completion)
            ids[i, :length] = torch.tensor([*prompt, *completion])
            labels[i, len(prompt) : length] = ids[i, len(prompt) : length]
            mask[i, :length] = 1
        output = self.model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            labels=labels.to(self._device),
            use_cache=False,
            fused_lm_head=True,
        )
        summed: torch.Tensor = output.log_probs.float().sum(-1)
        return summed

    def matched(self, rows: Rows, *, keep: bool = False) -> tuple[torch.Tensor, Shared | None]:  # noqa: ARG002
        """See ``Scorer``."""
        return self._score([(row.prompt_ids, row.completion_ids) for row in rows]), None

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def mismatched(self, rows: Rows, shared: Shared | None = None) -> torch.Tensor:  # noqa: ARG002
        """See ``Scorer``."""
        return self._score([(row.prompt_ids, row.kl_completion_ids) for row in rows])


def without_gradient(scorer: Scorer) -> Callable[[Rows], list[float]]:
    """Scores of a pack's rows by ``scorer`` as plain numbers, without gradient and dropout."""

    def score(rows: Rows) -> list[float]:
        model = scorer.model
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                scores: list[float] = scorer.matched(rows)[0].float().tolist()
        finally:
            model.train(was_training)
        return scores

    return score
