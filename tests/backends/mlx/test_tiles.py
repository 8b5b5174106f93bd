"""Logits in tiles: the same scores and gradients, and never all tiles at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from kto_tui.backends.mlx import scoring
from kto_tui.backends.mlx.packs import pack
from kto_tui.backends.mlx.scoring import Scorer
from tests.backends.mlx.trainings import mlx_model

ROWS = [((5, 6, 7), tuple(range(20, 60))), ((8,), tuple(range(100, 130)))]


def test_tiles_change_neither_scores_nor_gradients(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mlx_model(checkpoint("llama"))
    one = pack(ROWS)
    found = []
    for tile_bytes in (scoring.TILE_BYTES, 16 * 4 * 400):
        monkeypatch.setattr(scoring, "TILE_BYTES", tile_bytes)
        scorer = Scorer(model)

        def loss(scorer: Scorer = scorer) -> mx.array:
            values = scorer.token_log_probs(one, 400)
            return (values * mx.arange(values.size)).sum()

        value, gradients = nn.value_and_grad(model, loss)()
        found.append((value.item(), dict(tree_flatten(gradients))))
    (plain, before), (tiled, after) = found
    assert tiled == pytest.approx(plain, rel=1e-6)
    assert before.keys() == after.keys()
    for name, each in before.items():
        assert mx.allclose(each, after[name], rtol=1e-4, atol=1e-5).item(), name


@pytest.fixture
def nothing_ahead() -> Iterator[None]:
    """MLX begins no operation before the last has ended, as when memory is short."""
    before = mx.set_memory_limit(1)
    yield
    mx.set_memory_limit(before)


def test_tiles_are_made_one_after_another(nothing_ahead: None) -> None:
    mx.random.seed(0)
    weights, states = mx.random.normal((4096, 16)), mx.random.normal((512, 16))
    targets = mx.zeros(512, dtype=mx.int32)

    def head(states: mx.array, targets: mx.array) -> mx.array:
        logits = states @ weights.T
        return mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0] - mx.logsumexp(logits, axis=-1)

    def gradient(states: mx.array) -> mx.array:
        return mx.grad(lambda states: scoring.in_tiles(head, 32)(states, targets).sum())(states)

    mx.eval(weights, states, targets)
    step, all_logits = mx.compile(gradient), 512 * 4096 * 4
    for _ in range(2):
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(step(states))
    assert mx.get_peak_memory() - before < all_logits / 2
