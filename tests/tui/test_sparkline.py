"""A curve in one row."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.tui.widgets.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "width", "drawn", "in_ascii"),
    [
        ([], 10, "", ""),
        ([1.0], 10, "▄", "~"),
        (list(range(8)), 8, "▁▂▃▄▅▆▇█", "_.-~=+*#"),
        (list(range(8)), 4, "▁▃▆█", "_-+#"),
        ([3, None, 1, math.nan, 2], 5, "█ ▁ ▅", "# _ ="),
        ([2.0, 2.0, 2.0], 3, "▄▄▄", "~~~"),
        ([None, math.inf], 5, "  ", "  "),
        ([1, 2, 3], 0, "", ""),
        ([1, 2, 3], -1, "", ""),
    ],
)
def test_levels(values: list[float | None], width: int, drawn: str, in_ascii: str) -> None:
    assert sparkline(values, width, ascii_only=False) == drawn
    assert sparkline(values, width, ascii_only=True) == in_ascii


@given(st.lists(st.none() | st.floats(), max_size=50), st.integers(0, 20), st.booleans())
def test_any_values_fit(values: list[float | None], width: int, ascii_only: bool) -> None:
    drawn = sparkline(values, width, ascii_only=ascii_only)
    assert len(drawn) == min(width, len(values))
    assert set(drawn) <= set(" _.-~=+*#" if ascii_only else " ▁▂▃▄▅▆▇█")
