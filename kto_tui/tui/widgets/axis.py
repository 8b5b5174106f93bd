"""Ranges of a y axis, linear or logarithmic: rounded bounds that stand still, and how they are written."""

import math
from dataclasses import dataclass

LIMIT = 1e300  # beyond this the arithmetic on ranges would overflow; such values count as gaps
TINY = 1e-100  # below this a spread or a size is zero: far from the denormals, where division goes wrong
GUTTER = 7  # cells of a label
_RELATIVE_TINY = 1e-9
_ROUNDING = 1e-9  # 1.1 / 0.05 is 22.000000000000004 and must not count as 23 grid steps
_HEADROOM = 0.05
_GRID_STEPS = 5
_SHRINK_BELOW = 0.4
_LOG_BOUNDS = (1, 2, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class YRange:
    """The values at the bottom (``low``) and at the top (``high``) of a plot, in data units."""

    low: float
    high: float


def drawable_above(*, log: bool) -> float:
    """Values up to this are gaps; a logarithmic axis has no place for zero and below."""
    return TINY if log else -LIMIT


def height(y: float, *, log: bool) -> float:
    """Where a drawable ``y`` lies on the axis, in units that are even along it."""
    return math.log10(y) if log else y


def fit_range(low: float, high: float, previous: YRange | None = None, *, log: bool = False) -> YRange:
    """Return a range with rounded bounds around the data, which span ``low`` to ``high`` in data units.

    ``previous`` grows at once on a side that the data leave, and is given up for a tighter range only when
    the data use less than 40 % of it; otherwise it is returned as it is, so that the axis stands still.
    """
    rounded = _log_rounded if log else _rounded
    tight = rounded(low, high)
    if previous is None:
        return tight
    bottom, top = previous.low, previous.high
    if low < bottom or high > top:
        union = rounded(min(low, bottom), max(high, top))
        bottom = union.low if low < bottom else bottom
        top = union.high if high > top else top
    if _extent(low, high, log=log) < _SHRINK_BELOW * _extent(bottom, top, log=log):
        return tight
    return YRange(bottom, top)


def label(value: float) -> str:
    """Return ``value`` in at most 7 characters, with a space after it where there is room."""
    for digits in range(6, 0, -1):
        text = f"{value:.{digits}g}"
        mantissa, _, exponent = text.partition("e")
        if exponent:
            text = f"{mantissa}e{int(exponent)}"
        if len(text) <= GUTTER:
            break
    return text.rjust(GUTTER - 1).ljust(GUTTER)


def _extent(low: float, high: float, *, log: bool) -> float:
    return height(high, log=log) - height(low, log=log)


def _rounded(low: float, high: float) -> YRange:
    size = max(abs(low), abs(high))
    if high - low <= max(_RELATIVE_TINY * size, TINY):
        margin = 0.1 * size if size > TINY else 1.0
    else:
        margin = _HEADROOM * (high - low)
    step = _nice_step((high - low + 2 * margin) / _GRID_STEPS)
    bottom = math.floor((low - margin) / step + _ROUNDING) * step
    top = math.ceil((high + margin) / step - _ROUNDING) * step
    # Headroom must not suggest a sign that the data do not have.
    if low >= 0 and high > TINY:
        bottom = max(bottom, 0.0)
    if high <= 0 and low < -TINY:
        top = min(top, 0.0)
    return YRange(bottom, top)


def _log_rounded(low: float, high: float) -> YRange:
    if high < 2 * low:
        return _rounded(low, high)
    return YRange(
        max(bound for bound in _bounds_near(low) if bound <= low),
        min(bound for bound in _bounds_near(high) if bound >= high),
    )


def _bounds_near(y: float) -> list[float]:
    power = math.floor(math.log10(y))
    return [bound * 10.0**near for near in (power - 1, power, power + 1) for bound in _LOG_BOUNDS]


def _nice_step(at_least: float) -> float:
    power = 10.0 ** math.floor(math.log10(at_least))
    return next((nice * power for nice in (1, 2, 2.5, 5) if nice * power >= at_least), 10 * power)
