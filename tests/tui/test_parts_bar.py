"""The parts bar: proportions as cells, the mark where free memory ends, figures that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.memory.estimate import Estimate
from kto_tui.memory.parts import PARTS, parts_of
from kto_tui.memory.predict import Parts
from kto_tui.plain import plain
from kto_tui.tui.widgets.parts_bar import END, FREE, LETTERS, SLACK, cells, legend
from kto_tui.units import GIB

bytes_of = st.floats(0, 100 * GIB)
estimates = st.builds(
    lambda weights, rest, outside, ratio: Estimate(
        Parts(weights, *rest), outside, (weights + sum(rest)) * ratio, "traced", "traced"
    ),
    st.floats(GIB, 100 * GIB),
    st.tuples(*[bytes_of] * 6),
    bytes_of,
    st.floats(1, 1.3),
)


@given(estimates, st.none() | st.integers(0, round(200 * GIB)), st.integers(20, 200))
def test_every_part_is_as_wide_as_it_is_large(predicted: Estimate, free: int | None, width: int) -> None:
    bar = cells(predicted, free, width)
    assert len(bar) == width
    assert bar.count(END) == (free is not None)
    rest = bar.replace(END, "")
    slack = predicted.reserved - predicted.allocated
    scale = max(predicted.total + slack, free or 0)
    for name, part in parts_of(predicted):
        assert abs(rest.count(LETTERS[name][0]) - len(rest) * part / scale) <= 1.01
    order = [*(letter for letter, _ in LETTERS.values()), SLACK, FREE]
    assert list(rest) == sorted(rest, key=order.index), "parts lie in one order, free memory last"
    if free is not None:
        assert abs(bar.index(END) - len(rest) * free / scale) <= 1.01


def test_nothing_in_it_needs_more_than_seven_bits() -> None:
    predicted = Estimate(Parts(*[float(GIB)] * 7), float(GIB), 8.0 * GIB, "rough", "rough, about ±25 %")
    bar = plain(cells(predicted, 6 * GIB, 60))
    assert bar.isascii()
    assert "?" not in bar + plain(legend(predicted, 78))
    assert bar.count("|") == 1


@pytest.mark.parametrize("width", [78, 138])
def test_figures_name_every_part_and_stay_within_the_screen(width: int) -> None:
    predicted = Estimate(
        Parts(*[1.25 * GIB] * 7), 0.25 * GIB, 9.6 * GIB, "traced", "traced from the training step itself, not measured"
    )
    text = legend(predicted, width)
    lines = text.splitlines()
    assert len(lines) <= (4 if width < 100 else 3)
    assert all(len(line) <= width for line in lines)
    for letter, _ in LETTERS.values():
        assert f"{letter} " in text
    assert set(LETTERS) == set(PARTS)
    flat = " ".join(text.split())
    assert "= 9.0 GiB (8.8 allocated, with r likely 9.6 reserved)" in flat
    assert "traced" in flat


def test_parts_of_nothing_are_left_out() -> None:
    predicted = Estimate(Parts(1.0 * GIB, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.0, 1.0 * GIB, "measured", "measured here")
    assert legend(predicted, 78).startswith("W weights 1.0  = 1.0 GiB (1.0 allocated);")
