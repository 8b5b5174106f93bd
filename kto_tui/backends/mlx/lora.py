"""LoRA and DoRA layers on a model of mlx-lm, and the reference: the same model without them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import get_total_parameters

from kto_tui.catalog.mlx import adapter_refusal
from kto_tui.errors import UserError
from kto_tui.recipe import LORA_TARGETS, Recipe

Model = Any


def target_keys(model: Model, targets: Sequence[str] | str) -> list[str]:
    """Names within a block of the linear layers that get an adapter, for ``linear_to_lora_layers``.

    Args:
        model: of mlx-lm.
        targets: names of layers, or ``all-linear``. Mixtures' fused experts have no adapters, as under PEFT.

    Raises:
        UserError: the model has none of them, or an output head is asked for.
    """
    if not isinstance(targets, str) and (refusal := adapter_refusal(targets)) is not None:
        raise refusal
    found = {
        name
        for layer in model.layers
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear | nn.QuantizedLinear)
        and (isinstance(targets, str) or name.rsplit(".", 1)[-1] in targets)
    }
    if not found:
        names = targets if isinstance(targets, str) else ", ".join(targets)
        raise UserError(f"The model has no layers called {names}", mend="Set lora_targets to full", where="the model")
    return sorted(found)


def attach(model: Model, recipe: Recipe, targets: Sequence[str] | str | None = None) -> int:
    """Freeze ``model`` and give it fresh adapters; returns how many parameters are trained.

    A is uniform within 1/sqrt(inputs), B is 0 and the scale alpha / rank, as PEFT begins and scales.

    Args:
        model: of mlx-lm.
        recipe: rank, alpha, seed, targets, LoRA or DoRA.
        targets: instead of the recipe's.
    """
    keys = target_keys(model, LORA_TARGETS[recipe.lora_targets] if targets is None else targets)
    mx.random.seed(recipe.seed)
    model.freeze()
    settings = {"rank": recipe.lora_rank, "scale": recipe.lora_alpha / recipe.lora_rank, "dropout": 0.0, "keys": keys}
    linear_to_lora_layers(model, len(model.layers), settings, use_dora=recipe.use_dora)
    for _, layer in adapted(model):
        layer.linear.freeze()
    model.train()
    mx.eval(model.trainable_parameters())
    return sum(each.size for _, each in tree_flatten(model.trainable_parameters()))


def adapted(model: Model) -> list[tuple[str, Any]]:
    """(name, layer) of every layer that has an adapter."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear | DoRALinear)]


def parameter_counts(model: Model) -> tuple[int, int]:
    """(trained, all) parameters of ``model``, its adapters among them; quantised ones count as what they stand for."""
    trained = sum(each.size for _, each in tree_flatten(model.trainable_parameters()))
    # It counts modules that hold no others, which layers with an adapter do.
    return trained, get_total_parameters(model) + trained


def reference_of(model: Model) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A context in which ``model`` is the reference: its adapted layers are the layers they were put on.

    The layers themselves are exchanged: DoRA has no scale that would switch it off, and LoRA's products are saved.
    """
    layers = adapted(model)
    on = tree_unflatten([(name, layer) for name, layer in layers])
    off = tree_unflatten([(name, layer.linear) for name, layer in layers])

    @contextlib.contextmanager
    def reference() -> Iterator[None]:
        model.update_modules(off)
        try:
            yield
        finally:
            model.update_modules(on)

    return reference
