"""Curves of a run in bounded memory: the more points there are, the more of them share a bucket."""

import math
import operator
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar, cast

from kto_tui.runs.events import AllocatorRead, AnyEvent, Evaluated, GaugesRead, Resumed, StepCompleted

LIMIT = 2048  # buckets: more than twice the dots across any terminal
PENDING = 1 << 16  # points
STEP_METRICS = (
    "loss", "kl", "reward_desirable", "reward_undesirable", "margin", "accuracy", "accuracy_desirable",
    "accuracy_undesirable", "grad_norm", "learning_rate", "tokens_per_second",
)  # fmt: skip
HELDOUT_METRICS = (
    "accuracy",
    "accuracy_desirable",
    "accuracy_undesirable",
    "margin",
    "reward_desirable",
    "reward_undesirable",
    "loss",
)
GAUGES = (
    "process_bytes", "host_available_bytes", "wired_bytes", "cpu_percent", "gpu_used_bytes", "gpu_percent",
    "gpu_celsius", "gpu_watts",
)  # fmt: skip
ALLOCATOR = ("active_bytes", "cache_bytes", "peak_bytes")


_Cell = TypeVar("_Cell", int, float)


class Bucket:
    """What one or more neighbouring points have in common.

    Attributes:
        first, last: x of its first and last point.
        mean, low, high: of its values; NaN when none of its points has one.
    """

    __slots__ = ("first", "high", "last", "low", "mean")

    def __init__(self, first: float, last: float, mean: float, low: float, high: float) -> None:
        self.first, self.last, self.mean, self.low, self.high = first, last, mean, low, high


class Series:
    """One curve: x grows, a missing value is NaN. At most ``2 * LIMIT`` buckets, whatever arrives.

    The same points give the same buckets, in one batch or in many.
    """

    def __init__(self) -> None:
        self._first, self._last = array("d"), array("d")
        # Infinite in a bucket without a value: the least and the greatest of two buckets then need no case for it.
        self._low, self._high, self._sum = array("d"), array("d"), array("d")
        self._points, self._values = array("L"), array("L")
        self._width = 1  # points of a full bucket; only the last may have fewer
        # Points that are in no bucket yet: the more are put in at once, the less each of them costs.
        self._xs, self._ys = array("d"), array("d")

    def __len__(self) -> int:
        self._settle()
        return len(self._first)

    @property
    def known(self) -> bool:
        """Whether any point has a value."""
        self._settle()
        return any(self._values)

    @property
    def mean(self) -> float | None:
        """Of all values; None without any."""
        self._settle()
        return sum(self._sum) / count if (count := sum(self._values)) else None

    def add(self, x: float, y: float | None) -> None:
        """Append a point; None is a gap."""
        self.extend((x,), (y,))

    def extend(self, xs: Sequence[float], ys: Sequence[float | None]) -> None:
        """Append points; None is a gap."""
        self._xs.extend(xs)
        if ys.count(None) == len(ys):
            self._ys.extend(array("d", [math.nan]) * len(ys))
        else:
            try:
                self._ys += array("d", cast("Sequence[float]", ys))
            except TypeError:
                self._ys.extend([math.nan if y is None else y for y in ys])
        if len(self._xs) > PENDING:
            self._settle()

    def _settle(self) -> None:
        """Put the waiting points into buckets."""
        xs, count = self._xs, len(self._xs)
        if not count:
            return
        while len(self._first) + math.ceil((count - self._room) / self._width) > 2 * LIMIT:
            self._halve()
        lows, highs, sums, values = _cells(self._ys)
        width, room = self._width, min(self._room, count)
        if room:
            self._last[-1] = xs[room - 1]
            self._low[-1] = min(self._low[-1], *lows[:room])
            self._high[-1] = max(self._high[-1], *highs[:room])
            self._sum[-1] += sum(sums[:room])
            self._points[-1] += room
            self._values[-1] += sum(values[:room])
        starts = range(room, count, width)
        if starts:
            spans = [slice(at, at + width) for at in starts]
            self._first.extend(xs[room::width])
            self._last.extend(xs[room + width - 1 : count - 1 : width])
            self._last.append(xs[-1])
            self._low.extend([min(lows[span]) for span in spans])
            self._high.extend([max(highs[span]) for span in spans])
            self._sum.extend([sum(sums[span]) for span in spans])
            self._points.extend(array("L", [width]) * (len(starts) - 1))
            self._points.append(count - starts[-1])
            whole = lows is highs  # no gap
            self._values.extend(self._points[-len(starts) :] if whole else [sum(values[span]) for span in spans])
        del self._xs[:], self._ys[:]

    @property
    def _room(self) -> int:
        """Points that the last bucket still takes."""
        return self._width - self._points[-1] if self._points else 0

    def _halve(self) -> None:
        self._width *= 2
        self._first, self._last = _paired(self._first, min), _paired(self._last, max)
        self._low, self._high = _paired(self._low, min), _paired(self._high, max)
        self._sum = _paired(self._sum, operator.add)
        self._points, self._values = _paired(self._points, operator.add), _paired(self._values, operator.add)

    def cut(self, x: float) -> None:
        """Forget the points beyond ``x``, and the earlier ones that share a bucket with one of them."""
        keep = len(self)
        while keep and self._last[keep - 1] > x:
            keep -= 1
        for column in (self._first, self._last, self._low, self._high, self._sum, self._points, self._values):
            del column[keep:]

    def __getitem__(self, index: int) -> Bucket:
        self._settle()
        values = self._values[index]
        if not values:
            return Bucket(self._first[index], self._last[index], math.nan, math.nan, math.nan)
        mean = self._sum[index] / values
        return Bucket(self._first[index], self._last[index], mean, self._low[index], self._high[index])

    def __iter__(self) -> Iterator[Bucket]:
        return (self[index] for index in range(len(self)))

    def points(self) -> Iterator[tuple[float, float | None]]:
        """What to draw: a point per bucket, or its lowest and its highest value at the same x."""
        self._settle()
        for x, low, high in zip(self._first, self._low, self._high, strict=True):
            if low > high:
                yield x, None
            else:
                yield x, low
                if high > low:
                    yield x, high

    def means(self) -> Iterator[tuple[float, float | None]]:
        """The mean of each bucket."""
        self._settle()
        for x, total, values in zip(self._first, self._sum, self._values, strict=True):
            yield x, total / values if values else None


def _cells(column: "array[float]") -> tuple[list[float], list[float], list[float], list[int]]:
    """What each point brings to the least, the greatest, the sum and the number of the values."""
    ys = column.tolist()
    if math.isfinite(sum(ys)):
        return ys, ys, ys, [1] * len(ys)
    known = [math.isfinite(y) for y in ys]
    if True not in known:  # what this machine cannot tell
        count = len(ys)
        return [math.inf] * count, [-math.inf] * count, [0.0] * count, [0] * count

    def instead(value: float) -> list[float]:
        return [y if there else value for y, there in zip(ys, known, strict=True)]

    return instead(math.inf), instead(-math.inf), instead(0.0), [int(there) for there in known]


def _paired(column: "array[_Cell]", join: Callable[[_Cell, _Cell], _Cell]) -> "array[_Cell]":
    """Two cells become one; an odd one at the end stays."""
    joined = array(column.typecode, map(join, column[::2], column[1::2]))
    joined.extend(column[2 * len(joined) :])
    return joined


class Curves:
    """Every curve of a run, kept up with ``add``.

    Attributes:
        steps: by ``STEP_METRICS``; x is the optimizer step.
        heldout: by ``HELDOUT_METRICS``; x is the optimizer step.
        gauges: by ``GAUGES``; x is seconds since the first gauge was read.
        allocator: by ``ALLOCATOR``; x as that of the gauges.
    """

    def __init__(self) -> None:
        self.steps = {name: Series() for name in STEP_METRICS}
        self.heldout = {name: Series() for name in HELDOUT_METRICS}
        self.gauges = {name: Series() for name in GAUGES}
        self.allocator = {name: Series() for name in ALLOCATOR}
        self._began: float | None = None

    def add(self, events: Iterable[AnyEvent]) -> None:
        """Take in ``events``; what a resumed run measures again replaces what it had measured before."""
        steps: list[StepCompleted] = []
        heldout: list[Evaluated] = []
        gauges: list[GaugesRead] = []
        allocator: list[AllocatorRead] = []
        for event in events:
            match event:
                case StepCompleted():
                    steps.append(event)
                case GaugesRead():
                    gauges.append(event)
                    self._began = event.t if self._began is None else self._began
                case AllocatorRead():
                    allocator.append(event)
                    self._began = event.t if self._began is None else self._began
                case Evaluated():
                    heldout.append(event)
                case Resumed():
                    self._take(steps, heldout)
                    steps, heldout = [], []
                    for series in (*self.steps.values(), *self.heldout.values()):
                        series.cut(event.step)
        self._take(steps, heldout)
        began = self._began or 0.0
        _extend(self.gauges, [event.t - began for event in gauges], gauges)
        _extend(self.allocator, [event.t - began for event in allocator], allocator)

    def _take(self, steps: list[StepCompleted], heldout: list[Evaluated]) -> None:
        _extend(self.steps, [event.step for event in steps], steps)
        _extend(self.heldout, [event.step for event in heldout], heldout)


def _extend(curves: dict[str, Series], xs: Sequence[float], events: Sequence[AnyEvent]) -> None:
    at, columns = array("d", xs), zip(*map(operator.attrgetter(*curves), events), strict=True)
    for series, ys in zip(curves.values(), columns, strict=False):  # no events, no columns
        series.extend(at, ys)
