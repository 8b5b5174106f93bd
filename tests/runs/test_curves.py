"""Curves in bounded memory: every value is inside its bucket, and a resumed run measures again."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.runs.curves import LIMIT, Curves, Series
from kto_tui.runs.events import AllocatorRead, Evaluated, GaugesRead, Resumed, StepCompleted


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=60), st.integers(0, 12_000))
def test_buckets_hold_every_point(values: list[float | None], before: int) -> None:
    series = Series()
    everything = [float(n) for n in range(before)] + values
    for x, value in enumerate(everything):
        series.add(x, value)
    buckets = list(series)
    assert len(buckets) <= 2 * LIMIT
    assert all(one.last < other.first for one, other in pairwise(buckets))
    for bucket in buckets:
        inside = [value for value in everything[int(bucket.first) : int(bucket.last) + 1] if value is not None]
        assert inside == [] if math.isnan(bucket.low) else (bucket.low, bucket.high) == (min(inside), max(inside))
        if inside:
            assert bucket.mean == pytest.approx(sum(inside) / len(inside), rel=1e-9, abs=1e-3)
    assert sum(int(one.last - one.first) + 1 for one in buckets) == len(everything)


@given(st.lists(st.integers(1, 5000), max_size=8), st.integers(0, 20), st.integers(0, 5000))
def test_one_batch_or_many_give_the_same_buckets(batches: list[int], gap_every: int, cut: int) -> None:
    total = sum(batches)
    ys = [None if gap_every and n % gap_every == 0 else math.sin(n) for n in range(total)]
    one, many = Series(), Series()
    one.extend(range(total), ys)
    at = 0
    for size in batches:
        many.extend(range(at, at + size), ys[at : at + size])
        assert len(many) <= 2 * LIMIT, "looking puts what waits into buckets"
        at += size
    for series in (one, many):
        series.cut(cut)
        series.extend(range(cut + 1, cut + 700), [0.5] * 699)
    assert list(one.points()) == list(many.points())
    assert one.known == many.known == (True in [point[1] is not None for point in one.points()])
    for left, right in zip(one, many, strict=True):
        assert (left.first, left.last) == (right.first, right.last)
        assert left.mean == pytest.approx(right.mean, nan_ok=True)


def test_few_points_stay_as_they_are() -> None:
    series = Series()
    for x, value in ((1, 0.5), (2, None), (3, math.inf), (5, 0.25)):
        series.add(x, value)
    assert list(series.points()) == [(1, 0.5), (2, None), (3, None), (5, 0.25)]


def test_a_resumed_run_draws_over_what_it_had_measured() -> None:
    curves = Curves()
    curves.add([StepCompleted(step=n, total_steps=9, loss=1.0) for n in range(1, 9)])
    curves.add([Evaluated(step=4, rows=1, accuracy=0.5), Evaluated(step=8, rows=1, accuracy=0.9)])
    curves.add([Resumed(step=5), StepCompleted(step=6, total_steps=9, loss=2.0)])
    assert list(curves.steps["loss"].points()) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0), (6, 2.0)]
    assert list(curves.heldout["accuracy"].points()) == [(4, 0.5)]


def test_gauges_are_drawn_over_the_time_since_the_first() -> None:
    curves = Curves()
    curves.add([GaugesRead(t=100.0 + 2 * n, cpu_percent=50.0, gpu_watts=None) for n in range(3)])
    assert list(curves.gauges["cpu_percent"].points()) == [(0, 50.0), (2, 50.0), (4, 50.0)]
    assert list(curves.gauges["gpu_watts"].points()) == [(0, None), (2, None), (4, None)]


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_the_allocator_is_drawn_over_the_time_of_the_gauges(batch: int) -> None:
    events = [
        GaugesRead(t=100.0),
        AllocatorRead(t=101.0, active_bytes=5, cache_bytes=1, peak_bytes=7),
        GaugesRead(t=102.0, cpu_percent=9.0),
        AllocatorRead(t=103.0, active_bytes=6, cache_bytes=0, peak_bytes=8),
    ]
    curves = Curves()
    for begin in range(0, len(events), batch):
        curves.add(events[begin : begin + batch])
    assert list(curves.allocator["active_bytes"].points()) == [(1, 5), (3, 6)]
    assert list(curves.allocator["peak_bytes"].points()) == [(1, 7), (3, 8)]
    assert list(curves.gauges["cpu_percent"].points()) == [(0, None), (2, 9.0)]


def test_an_allocator_that_spoke_before_any_gauge_begins_the_time() -> None:
    curves = Curves()
    curves.add([AllocatorRead(t=100.0, active_bytes=5, cache_bytes=1, peak_bytes=7), GaugesRead(t=101.0)])
    assert list(curves.allocator["cache_bytes"].points()) == [(0, 1)]
    assert list(curves.gauges["cpu_percent"].points()) == [(1, None)]
