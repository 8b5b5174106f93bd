"""Attention over a prefix tree, registered with Transformers' attention interface."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from kto_tui.backends.hf.kto.attention_padded import PaddedRows, plan_padded, tree_attention_padded
from kto_tui.backends.hf.kto.attention_rows import Group, plan, tree_attention_rows
from kto_tui.backends.hf.kto.layout import Layout

PACKED = "kto_packed"
PACKED_SOFTCAPPED = "kto_packed_softcapped"


@dataclass
class TreePass:
    """One forward pass over a layout, handed through the model to its attention layers.

    Attributes:
        layout: the tokens of this pass.
        padded: pad rows into one call per layer (accelerators) instead of a few rows a call (CPU).
        keep: whether keys and values are kept for a later pass over the same tree.
        past: layer index to keys and values of the tokens before this pass, each (kv_heads, past, head_dim).
        kept: the same with this pass's tokens appended, filled during the forward when ``keep`` is set.
    """

    layout: Layout
    padded: bool
    keep: bool = False
    past: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    plans: dict[tuple[int | None, torch.dtype], tuple[Group, ...]] = field(default_factory=dict)
    padded_plans: dict[int | None, PaddedRows] = field(default_factory=dict)

    def groups(self, window: int | None, dtype: torch.dtype) -> tuple[Group, ...]:
        """The layout's rows as the row kernel takes them, under a sliding window of so many tokens or none."""
        if (window, dtype) not in self.plans:
            self.plans[window, dtype] = plan(self.layout.spans, window, dtype)
        return self.plans[window, dtype]

    def padded_rows(self, window: int | None) -> PaddedRows:
        """The same as the padded kernel takes them."""
        if window not in self.padded_plans:
            self.padded_plans[window] = plan_padded(self.layout.spans, window)
        return self.padded_plans[window]


def _attend(
    module: Any,  # noqa: ANN401 - any attention layer
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tree_pass: TreePass,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,  # noqa: ANN401 - what other attention implementations take
) -> torch.Tensor:
    """Output of shape (1, new, heads, head_dim) for query (1, heads, new, head_dim)."""
    layer = module.layer_idx
    keys, values = key[0], value[0]
    if layer in tree_pass.past:
        past_keys, past_values = tree_pass.past[layer]
        keys, values = torch.cat([past_keys, keys], dim=1), torch.cat([past_values, values], dim=1)
    if tree_pass.keep:
        tokens = tree_pass.layout.past + tree_pass.layout.new
        tree_pass.kept[layer] = (keys[:, :tokens].detach(), values[:, :tokens].detach())
    scaling = module.head_dim**-0.5 if scaling is None else scaling
    if tree_pass.padded:
        output = tree_attention_padded(
            query[0], keys, values, tree_pass.padded_rows(sliding_window), scaling=scaling, softcap=softcap
        )
    else:
        output = tree_attention_rows(
            query[0], keys, values, tree_pass.groups(sliding_window, query.dtype), scaling=scaling, softcap=softcap
        )
    return output.transpose(0, 1).unsqueeze(0)


Attention = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def _eager(module: Any) -> Attention:  # noqa: ANN401
    """The eager attention of the model that ``module`` belongs to."""
    eager: Attention = sys.modules[type(module).__module__].eager_attention_forward
    return eager


def _or_packed(plain: Callable[[Any], Attention]) -> Attention:
    """Tree attention for packs; for anything else, such as generation, what ``plain`` gives for the layer."""

    def attend(
        module: Any,  # noqa: ANN401
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        kto_pass: TreePass | None = None,
        **options: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if kto_pass is None:
            return plain(module)(module, query, key, value, attention_mask, **options)
        return _attend(module, query, key, value, kto_pass, **options), None

    return attend


def register() -> None:
    """Make both implementations known to Transformers; calling it again changes nothing."""
    AttentionInterface.register(PACKED, _or_packed(lambda _: sdpa_attention_forward))
    AttentionMaskInterface.register(PACKED, sdpa_mask)
    # sdpa cannot cap its scores.
    AttentionInterface.register(PACKED_SOFTCAPPED, _or_packed(_eager))
    AttentionMaskInterface.register(PACKED_SOFTCAPPED, eager_mask)
