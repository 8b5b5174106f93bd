"""Functions compiled by MLX over arrays of a model; one that raises while it is traced leaves them as they were."""

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx

# A container, the key or index in it, and the array or tuple that is there.
Place = tuple[Any, Any, Any]


def compiled(function: Callable[..., Any], state: list[Any], *, updates: bool = False) -> Callable[..., Any]:
    """``function`` compiled by ``mlx.core.compile``.

    For a trace MLX puts other arrays, which hold nothing, into ``state``, and takes them out when the trace has ended
    well. Gradients put in others, which with checkpointing depend on the whole pass: where memory did not hold it,
    every smaller try would begin by computing it again. So the arrays from before are put back, whatever happens.

    Args:
        function: of arrays, and trees of them.
        state: containers of the arrays that it reads besides, such as a model.
        updates: whether it puts others into ``state``, which stay where it does not raise.
    """
    run = mx.compile(function, inputs=state, outputs=state if updates else None)

    def call(*args: Any) -> Any:  # noqa: ANN401
        before = list(_places(state))
        try:
            found = run(*args)
        except BaseException:
            _put_back(before)
            raise
        if not updates:
            _put_back(before)
        return found

    return call


def _places(tree: Any) -> Iterator[Place]:  # noqa: ANN401 - modules are dicts
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, mx.array | tuple) and not isinstance(tree, tuple):  # MLX exchanges a tuple whole
            yield tree, key, value
        if isinstance(value, dict | list | tuple):
            yield from _places(value)


def _put_back(places: list[Place]) -> None:
    for container, key, value in places:
        container[key] = value
