"""Line styles are told apart by pattern, by character and by how bright they are."""

from itertools import combinations

import pytest

from kto_tui.tui.widgets.line_styles import LINES, STYLES, legend, sample

# xterm's palette, and its default foreground.
XTERM = {
    "ansi_cyan": (0, 205, 205),
    "ansi_bright_magenta": (255, 0, 255),
    "ansi_bright_yellow": (255, 255, 0),
    "ansi_bright_blue": (92, 92, 255),
    "ansi_default": (229, 229, 229),
    "ansi_red": (205, 0, 0),
}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    shares = [part / 255 for part in XTERM[colour]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_are_seen_on_black_and_differ_in_luminance() -> None:
    levels = [luminance(line.colour) + 0.05 for line in LINES]
    assert all(level / 0.05 >= 3 for level in levels)
    assert all(max(pair) / min(pair) >= 1.15 for pair in combinations(levels, 2))


@pytest.mark.parametrize("ascii_only", [False, True])
def test_samples_differ_and_are_as_wide_as_asked(ascii_only: bool) -> None:
    samples = [sample(style, ascii_only=ascii_only, cells=8) for style in range(STYLES)]
    assert len(set(samples)) == STYLES
    assert {len(line) for line in samples} == {8}
    assert sample(STYLES, ascii_only=ascii_only) == sample(0, ascii_only=ascii_only)
    assert "".join(samples).isascii() == ascii_only


def test_legend_has_sample_and_name() -> None:
    assert legend("rejected", 1, ascii_only=True).plain == "ooo rejected"
    assert legend("[b]chosen", 0, ascii_only=False).plain == "⠤⠤⠤ [b]chosen"
