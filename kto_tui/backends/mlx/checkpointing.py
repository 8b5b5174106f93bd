"""Gradient checkpointing: layers that keep their inputs only and compute the rest again for the gradient."""

from typing import Any

import mlx.core as mx


def checkpoint_layers(model: Any) -> None:  # noqa: ANN401
    """Let every layer of ``model`` recompute its activations where gradients pass through it.

    ``mlx_lm.tuner.trainer.grad_checkpoint`` changes a class for the whole process and cannot generate with a cache
    afterwards; here single layers are changed, and passes with a cache are left as they are.

    Args:
        model: of mlx-lm, with adapters.
    """
    kinds: dict[type, type] = {}
    for layer in model.layers:
        kind = type(layer)
        if kind not in kinds:
            kinds[kind] = _recomputing(kind)
        layer.__class__ = kinds[kind]


def _recomputing(kind: type) -> type:
    class Recomputing(kind):  # type: ignore[misc]
        def __call__(self, x: mx.array, mask: Any = None, cache: Any = None, **more: Any) -> Any:  # noqa: ANN401
            call = super().__call__
            if cache is not None:
                return call(x, mask, cache, **more)

            def layer(parameters: Any, x: mx.array) -> Any:  # noqa: ANN401
                self.update(parameters)
                return call(x, mask, cache, **more)

            return mx.checkpoint(layer)(self.trainable_parameters(), x)

    Recomputing.__name__ = kind.__name__
    return Recomputing
