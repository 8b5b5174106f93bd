"""Ranges of the y axis: rounded, steady, wide enough; linear and logarithmic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.tui.widgets.axis import YRange, fit_range, height, label


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.7, (0.0, 0.8)),
        (0.0, 1.0, (0.0, 1.25)),
        (0.5, 0.5, (0.44, 0.56)),
        (0.0, 0.0, (-1.0, 1.0)),
        (-310.0, -120.0, (-350.0, -100.0)),
        (2e-6, 2e-5, (0.0, 2.5e-5)),
    ],
)
def test_bounds_are_rounded(low: float, high: float, expected: tuple[float, float]) -> None:
    fitted = fit_range(low, high)
    assert (fitted.low, fitted.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.0, 1000.0, (1.0, 1000.0)),
        (0.04, 0.25, (0.03, 0.3)),
        (4e-7, 9e-3, (3e-7, 1e-2)),
        (0.4, 0.5, (0.375, 0.525)),
        (0.5, 0.5, (0.44, 0.56)),
    ],
)
def test_logarithmic_bounds_are_round_numbers(low: float, high: float, expected: tuple[float, float]) -> None:
    fitted = fit_range(low, high, log=True)
    assert (fitted.low, fitted.high) == pytest.approx(expected)


finite = {False: st.floats(-1e299, 1e299), True: st.floats(1e-100, 1e299, exclude_min=True)}


@given(st.data(), st.booleans())
def test_range_grows_at_once_and_shrinks_late(data: st.DataObject, log: bool) -> None:
    a, b, c, d = (data.draw(finite[log]) for _ in range(4))
    previous = fit_range(min(a, b), max(a, b), log=log)
    low, high = min(c, d), max(c, d)
    fitted = fit_range(low, high, previous, log=log)
    assert fitted.low <= low <= high <= fitted.high
    assert fitted.low < fitted.high
    assert fitted.low > 0 or not log
    used, whole = (height(y.high, log=log) - height(y.low, log=log) for y in (YRange(low, high), previous))
    if previous.low <= low and high <= previous.high and used >= 0.4 * whole:
        assert fitted == previous
    elif fitted != fit_range(low, high, log=log):
        assert fitted.low <= previous.low
        assert fitted.high >= previous.high
    assert fit_range(low, high, fitted, log=log) == fitted


def test_growing_side_alone_moves() -> None:
    assert fit_range(0.1, 1.3, YRange(0.0, 1.0)).low == 0.0
    assert fit_range(-0.2, 0.9, YRange(0.0, 1.0)).high == 1.0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "     0 "),
        (1.25, "  1.25 "),
        (-127.5, "-127.5 "),
        (2.5e-5, "2.5e-5 "),
        (-2.5e-5, "-2.5e-5"),
        (0.30000000000000004, "   0.3 "),
        (-1.5e300, "-2e300 "),
        (1234567.0, "1.235e6"),
    ],
)
def test_labels_fit_the_gutter(value: float, written: str) -> None:
    assert label(value) == written
    assert len(written) == 7
