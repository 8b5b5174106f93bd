"""A run read in full and kept up: choices in force, state, curves, and how long and how much each step took."""

import contextlib
import math
from collections.abc import Iterator
from typing import Literal

from kto_tui.errors import UserError
from kto_tui.runs.about import known_about
from kto_tui.runs.config import RunConfig, load_config
from kto_tui.runs.curves import Curves, Series
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import AnyEvent, Resumed, StepCompleted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import in_force
from kto_tui.runs.state import RunState, fold

Along = Literal["step", "seconds", "tokens"]


class Reading:
    """What is known of ``run``; ``read`` takes in what is new.

    Attributes:
        state: the fold of its events.
        curves: all of them, x is the step.
        passed: seconds trained and tokens seen up to each step; pauses and evaluations not counted.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.about = known_about(run.about)
        self.state = RunState()
        self.curves = Curves()
        self.passed: dict[str, Series] = {"seconds": Series(), "tokens": Series()}
        self._tail = Tail(run.events)
        self._frozen: RunConfig | None = None
        with contextlib.suppress(UserError):
            self._frozen = load_config(run.config)

    @property
    def name(self) -> str:
        """Its title, else its id."""
        return self.about.title or self.run.id

    @property
    def config(self) -> RunConfig | None:
        """The choices in force; None where they cannot be read."""
        with contextlib.suppress(UserError):
            return None if self._frozen is None else in_force(self._frozen, self.state.adjustments)
        return self._frozen

    def read(self) -> bool:
        """Take in what is new; whether there was anything."""
        new = False
        while events := self._tail.read():
            new = True
            self.state = fold(self.state, events)
            self.curves.add(events)
            for event in events:
                self._count(event)
        return new

    def _count(self, event: AnyEvent) -> None:
        match event:
            case StepCompleted():
                for name, series in self.passed.items():
                    more: float | None = getattr(event, name)
                    so_far = last(series) if len(series) else 0.0
                    series.add(event.step, None if more is None or so_far is None else so_far + more)
            case Resumed():
                for series in self.passed.values():
                    series.cut(event.step)

    def points(self, metric: str, along: Along = "step") -> list[tuple[float, float | None]]:
        """The curve of one of ``STEP_METRICS``, its x in steps, seconds or tokens."""
        series = self.curves.steps[metric]
        if along == "step":
            return list(series.points())
        # Both were added step by step, so their buckets are the same steps.
        return list(_moved(series, self.passed[along]))


def _moved(series: Series, passed: Series) -> Iterator[tuple[float, float | None]]:
    for bucket, place in zip(series, passed, strict=True):
        if math.isnan(place.high):
            continue
        known = not math.isnan(bucket.low)
        yield place.high, bucket.low if known else None
        if known and bucket.high > bucket.low:
            yield place.high, bucket.high


def last(series: Series) -> float | None:
    """The highest value of the newest bucket: of what only grows, where it stands."""
    if not len(series) or math.isnan(high := series[len(series) - 1].high):
        return None
    return high


def last_tenth(series: Series) -> float | None:
    """The mean of a curve's last tenth: single steps of KTO are too noisy to compare."""
    count = max(1, len(series) // 10)
    means = [series[index].mean for index in range(max(0, len(series) - count), len(series))]
    known = [mean for mean in means if not math.isnan(mean)]
    return math.fsum(known) / len(known) if known else None


def highest(series: Series) -> float | None:
    """The largest value of a curve."""
    return max((bucket.high for bucket in series if not math.isnan(bucket.high)), default=None)
