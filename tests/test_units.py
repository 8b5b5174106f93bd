"""Numbers as people read them: unknown is never 0, and a hyper-parameter is exact."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui import units
from kto_tui.units import GIB, MIB

NOTHING = (None, math.nan, math.inf, -math.inf)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 KiB"),
        (2048, "2 KiB"),
        (MIB, "1 MiB"),
        (82.4 * MIB, "82 MiB"),
        (0.95 * GIB, "0.9 GiB"),
        (6.1 * GIB, "6.1 GiB"),
        (GIB, "1.0 GiB"),
        (99.94 * GIB, "99.9 GiB"),
        (100 * GIB, "100 GiB"),
        (1500 * GIB, "1500 GiB"),
    ],
)
def test_size(n_bytes: float, text: str) -> None:
    assert units.size(n_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about 1 s"),
        (40, "about 40 s"),
        (90, "about 2 min"),
        (25 * 60 + 20, "about 25 min"),
        (5400, "about 2 h"),
        (20 * 3600, "about 20 h"),
        (36 * 3600, "about 2 days"),
        (9.6 * 86_400, "about 10 days"),
    ],
)
def test_estimated_times_are_no_finer_than_estimates(seconds: float, text: str) -> None:
    assert units.about(seconds) == text


@pytest.mark.parametrize(
    ("watt_hours", "text"),
    [
        (0.0, "below 0.1 Wh"),
        (0.06, "0.1 Wh"),
        (9.94, "9.9 Wh"),
        (9.96, "10 Wh"),
        (999.4, "999 Wh"),
        (999.6, "1.0 kWh"),
        (12_340, "12.3 kWh"),
    ],
)
def test_energy(watt_hours: float, text: str) -> None:
    assert units.energy(watt_hours) == text


@pytest.mark.parametrize("value", NOTHING)
def test_what_is_not_measured_is_not_zero(value: float | None) -> None:
    assert units.size(value) == "unknown"
    assert units.duration(value) == "unknown"
    assert units.about(value) == units.energy(value) == "unknown"
    assert units.metric(value) == units.percent(value) == "–"


def test_counts_that_are_not_known() -> None:
    assert units.parameters(None) == units.count(None) == "unknown"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00"),
        (59.4, "00:59"),
        (59.6, "01:00"),
        (3599.6, "1:00:00"),
        (3661, "1:01:01"),
        (-5, "00:00"),
        (360000, "100:00:00"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@given(st.integers(0, 10**7))
def test_duration_reads_back(seconds: int) -> None:
    parts = [int(part) for part in units.duration(seconds).split(":")]
    assert all(part < 60 for part in parts[1:])
    assert sum(part * 60**power for power, part in enumerate(reversed(parts))) == seconds


@pytest.mark.parametrize(
    ("number", "text"),
    [(134_515_008, "135 M"), (999_499_999, "999 M"), (999_600_000, "1.0 B"), (7_615_616_512, "7.6 B")],
)
def test_parameters(number: int, text: str) -> None:
    assert units.parameters(number) == text


def test_count_separates_thousands() -> None:
    assert [units.count(n) for n in (0, 999, 1000, 1234567)] == ["0", "999", "1,000", "1,234,567"]


def test_metric_and_percent() -> None:
    assert units.metric(0.69314) == "0.693"
    assert units.metric(1.234, 2, signed=True) == "+1.23"
    assert units.metric(-1.234, 2, signed=True) == "-1.23"
    assert units.percent(0.615) in {"61%", "62%"}
    assert [units.percent(share) for share in (0, 1)] == ["0%", "100%"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (32, "32"),
        (0.1, "0.1"),
        (1e-4, "1e-4"),
        (0.00025, "2.5e-4"),
        (1e-3, "0.001"),
        (131_072, "131072"),
        (1e6, "1e6"),
        (2**31 - 1, "2147483647"),
        (0.123456789, "0.123456789"),
        (1e-300, "1e-300"),
        (1e300, "1e300"),
    ],
)
def test_compact(value: float, text: str) -> None:
    assert units.compact(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_compact_is_exact(value: float) -> None:
    assert float(units.compact(value)) == value


@given(st.integers(0, 2**53))
def test_compact_is_exact_for_whole_numbers(value: int) -> None:
    assert float(units.compact(float(value))) == value
