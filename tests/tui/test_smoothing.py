"""The moving average: TensorBoard's formula, gaps and points that share an x."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.tui.widgets.smoothing import clamped, merged, smoothed

Y = st.none() | st.just(math.nan) | st.floats(-1e6, 1e6)


@given(st.lists(Y, max_size=30), st.floats(0, 0.999))
def test_each_point_is_the_weighted_mean_of_those_so_far(values: list[float | None], weight: float) -> None:
    known: list[float] = []
    for (x, average), (i, y) in zip(smoothed(enumerate(values), weight), enumerate(values), strict=True):
        assert x == i
        if y is None or math.isnan(y):
            assert average is None
            continue
        known.insert(0, y)
        weights = [weight**age for age in range(len(known))]
        expected = sum(w * y for w, y in zip(weights, known, strict=True)) / sum(weights)
        assert average == pytest.approx(expected, rel=1e-6, abs=1e-3)


@given(st.lists(st.tuples(st.floats(), st.none() | st.floats())), st.floats(0, 0.999))
def test_any_floats_give_values_that_can_be_drawn_or_gaps(points: list[tuple[float, float | None]], w: float) -> None:
    assert all(y is None or math.isfinite(y) for _, y in smoothed(points, w))


def test_without_weight_nothing_changes() -> None:
    points = [(0, 1.0), (1, None), (2, -3.5)]
    assert list(smoothed(points, 0.0)) == points


def test_points_that_share_an_x_are_averaged() -> None:
    points = [(0, 1.0), (0, 3.0), (4, None), (4, 5.0), (8, math.nan), (9, math.inf), (9, None), (12, 1e299)]
    assert list(merged(points)) == [(0, 2.0), (4, 5.0), (8, None), (9, None), (12, 1e299)]
    assert list(merged([])) == []


@pytest.mark.parametrize(
    ("weight", "used"), [(-1.0, 0.0), (0.6, 0.6), (1.0, 0.999), (math.nan, 0.0), (math.inf, 0.999)]
)
def test_weights_are_kept_where_they_smooth(weight: float, used: float) -> None:
    assert clamped(weight) == used
