"""Label weights: Eq. 8 of arXiv:2402.01306 asks for w_D * n_D / (w_U * n_U) between 1 and 4/3."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kto_tui.methods.kto import Weights, balance_weights, fill_weights

COUNTS = st.integers(1, 100_000)
LOW, HIGH, ROUNDING = 1.0, 4 / 3, 1e-3


def balance(weights: Weights, desirable: int, undesirable: int) -> float:
    return weights.desirable * desirable / (weights.undesirable * undesirable)


@given(COUNTS, COUNTS)
@example(1, 100_000)
@example(100_000, 1)
@example(4, 3)
@example(400_001, 300_000)
@example(99_999, 100_000)
def test_automatic_weights_meet_equation_8(desirable: int, undesirable: int) -> None:
    weights = balance_weights(desirable, undesirable)
    assert LOW - ROUNDING <= balance(weights, desirable, undesirable) <= HIGH + ROUNDING
    assert min(weights.desirable, weights.undesirable) == 1.0, "only the rarer label's weight is raised"
    assert weights == fill_weights(None, None, desirable_rows=desirable, undesirable_rows=undesirable)


@given(COUNTS, COUNTS, st.floats(0.01, 100))
@example(1, 100_000, 1.0)
def test_one_weight_by_hand_is_kept_and_the_other_follows(desirable: int, undesirable: int, weight: float) -> None:
    left = fill_weights(weight, None, desirable_rows=desirable, undesirable_rows=undesirable)
    right = fill_weights(None, weight, desirable_rows=desirable, undesirable_rows=undesirable)
    assert left.desirable == right.undesirable == weight
    for weights in (left, right):
        assert min(weights.desirable, weights.undesirable) > 0
        assert math.isclose(balance(weights, desirable, undesirable), 1.0, rel_tol=ROUNDING)
        assert "set by you" in weights.because


@given(st.floats(0.01, 100), st.floats(0.01, 100), COUNTS, COUNTS)
def test_both_weights_by_hand_are_kept(desirable: float, undesirable: float, rows: int, other: int) -> None:
    weights = fill_weights(desirable, undesirable, desirable_rows=rows, undesirable_rows=other)
    assert weights == Weights(desirable, undesirable, "set by you")


def test_seventy_to_thirty() -> None:
    weights = balance_weights(700, 300)
    assert (weights.desirable, weights.undesirable) == (1.0, 2.3333)
    assert "700" in weights.because
    assert "300" in weights.because
    turned = balance_weights(300, 700)
    assert (turned.desirable, turned.undesirable) == (2.3333, 1.0)


@pytest.mark.parametrize("counts", [(50, 50), (4, 3), (40, 30), (101, 100)])
def test_a_balance_within_the_range_is_left_alone(counts: tuple[int, int]) -> None:
    weights = balance_weights(*counts)
    assert (weights.desirable, weights.undesirable) == (1.0, 1.0)


@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (0, 0)])
def test_one_label_alone_cannot_be_balanced(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="both labels"):
        balance_weights(*counts)
