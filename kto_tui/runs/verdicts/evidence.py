"""What the rules look at: means over windows of the curves, each with its error, in units that know no scale.

Log-ratios are rewards divided by beta: nats per answer, log p(y|x) - log p_ref(y|x). They compare runs of any beta.
"""

import math
from collections.abc import Sequence
from statistics import fmean, median

import msgspec

from kto_tui.recipe import Recipe
from kto_tui.runs.curves import Curves, Series
from kto_tui.runs.events import Evaluated
from kto_tui.runs.state import RunState

# A window is a share of the points so far, but so many points and rows at least: 40 rows put a share's error at 8 %.
# No more points than the most: what is asked twice a second must stay cheap.
FEWEST_POINTS, MOST_POINTS = 5, 256
FEWEST_ROWS = 40
QUARTER, HALF = 0.25, 0.5
# Normal scatter from the median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Standard errors a difference must exceed. Looks at a running curve are many but not independent.
SIGMAS = 3.0


class Window(msgspec.Struct, frozen=True):
    """Neighbouring points of a curve. ``error``: standard error of ``mean``, from their robust scatter."""

    mean: float
    middle: float
    error: float
    points: int

    @property
    def low(self) -> float:
        """What the true mean is hardly below."""
        return self.mean - SIGMAS * self.error

    @property
    def high(self) -> float:
        """What the true mean is hardly above."""
        return self.mean + SIGMAS * self.error

    def over(self, unit: float) -> "Window":
        """The same in multiples of ``unit``."""
        return Window(self.mean / unit, self.middle / unit, self.error / unit, self.points)


def window(values: Sequence[float]) -> Window | None:
    """The window of ``values``; None when there are too few."""
    if len(values) < FEWEST_POINTS:
        return None
    middle = median(values)
    spread = MAD_TO_SIGMA * median(abs(value - middle) for value in values)
    return Window(fmean(values), middle, spread / math.sqrt(len(values)), len(values))


def _known(series: Series, begin: int, end: int) -> list[float]:
    return [mean for index in range(begin, end) if not math.isnan(mean := series[index].mean)]


def newest(series: Series, size: int) -> list[float]:
    """The known values among the last ``size`` points."""
    return _known(series, max(0, len(series) - size), len(series))


def first(series: Series, size: int) -> list[float]:
    """The known values among the first ``size`` points."""
    return _known(series, 0, min(size, len(series)))


def chance(share: float, rows: float) -> float:
    """How many standard errors ``share`` of ``rows`` rows lies above one half."""
    return (share - 0.5) / (0.5 / math.sqrt(rows)) if rows > 0 else 0.0


def skill(desirable: float | None, undesirable: float | None, rows: float, share: float) -> float:
    """How many standard errors the accuracies of the two labels, averaged, lie above chance; 0 where not known.

    Averaged, because a model that favours one label gets most rows right where that label is the common one.

    Args:
        desirable, undesirable: accuracies.
        rows: of both labels.
        share: of them that is desirable.
    """
    few = min(share, 1 - share) * rows
    if desirable is None or undesirable is None or few <= 0:
        return 0.0
    return (desirable + undesirable - 1) / (0.5 * math.sqrt(1 / few + 1 / (rows - few)))


def heldout_share(one: Evaluated, otherwise: float) -> float:
    """Desirable share of the held-out rows, which follows from their accuracies unless those are equal."""
    good, bad, both = one.accuracy_desirable, one.accuracy_undesirable, one.accuracy
    if good is None or bad is None or both is None or abs(good - bad) < 1e-6:
        return otherwise
    return min(1.0, max(0.0, (both - bad) / (good - bad)))


class Evidence:
    """The figures of a run so far.

    Attributes:
        step, total: optimizer steps that the curves tell of, and planned ones; total is None before it is known.
        progress: their share.
        points: points of the training curves.
    """

    def __init__(self, curves: Curves, state: RunState, recipe: Recipe) -> None:
        self.state, self.recipe = state, recipe
        self._late: dict[tuple[str, float], Window | None] = {}
        self.curves = curves
        self.step, self.total = state.logged_step, state.total_steps
        self.progress = self.step / self.total if self.total else 0.0
        self.points = len(curves.steps["loss"])
        self._point_rows = self.step / self.points * recipe.effective_batch if self.points else 0.0

    def _size(self, share: float) -> int:
        enough = math.ceil(FEWEST_ROWS / self._point_rows) if self._point_rows else self.points
        return max(FEWEST_POINTS, enough, min(int(self.points * share), MOST_POINTS))

    def rows(self, share: float = QUARTER) -> int:
        """Training rows behind ``late``."""
        return round(min(self._size(share), self.points) * self._point_rows)

    @property
    def desirable_share(self) -> float:
        """Of the training rows."""
        data = self.state.data
        rows = data.desirable + data.undesirable if data else 0
        return data.desirable / rows if data and rows else 0.5

    def late(self, name: str, share: float = QUARTER) -> Window | None:
        """The newest known points of a training curve; None as long as they are most of them."""
        if (name, share) not in self._late:
            size = self._size(share)
            enough = self.points >= size + FEWEST_POINTS
            self._late[name, share] = window(newest(self.curves.steps[name], 2 * size)[-size:]) if enough else None
        return self._late[name, share]

    def early(self, name: str) -> Window | None:
        """The first points of a training curve; None as long as they are among the newest."""
        size = self._size(QUARTER)
        return None if self.points < 2 * size else window(_known(self.curves.steps[name], 0, size))

    def nats(self, name: str, share: float = QUARTER) -> Window | None:
        """The newest points of a reward or margin as log-ratios."""
        late = self.late(name, share)
        return late and late.over(self.recipe.beta)

    @property
    def moved(self) -> float | None:
        """Nats by which the probability of either kind of answer changed, whichever more."""
        sides = [late for name in ("reward_desirable", "reward_undesirable") if (late := self.nats(name))]
        return max((abs(side.mean) for side in sides), default=None)

    @property
    def row_tokens(self) -> float | None:
        """Tokens of a row, prompt included, in the newest point; None where it is not known."""
        last, recent = self.state.last_step, self.state.recent
        if last is None or not last.tokens or len(recent) < 2:
            return None
        steps = recent[-1][1] - recent[-2][1]
        return last.tokens / (steps * self.recipe.effective_batch) if steps > 0 else None

    @property
    def untrained_loss(self) -> float | None:
        """The loss of a model that is its own reference: half the mean weight of a row."""
        data = self.state.data
        if data is None or not data.desirable + data.undesirable:
            return None
        weight = data.desirable_weight * data.desirable + data.undesirable_weight * data.undesirable
        return weight / (data.desirable + data.undesirable) / 2

    @property
    def heldout(self) -> tuple[Evaluated, ...]:
        """Evaluations with at least a figure, oldest first."""
        return tuple(one for one in self.state.evaluations if one.accuracy is not None and one.rows)
