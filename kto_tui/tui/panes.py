"""The panes of the live screen: a table of what each draws and says."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kto_tui import units
from kto_tui.methods import Method
from kto_tui.runs.curves import Curves, Series
from kto_tui.runs.events import AllocatorRead, GaugesRead, StepCompleted
from kto_tui.runs.state import RunState
from kto_tui.tui.widgets.chart import Curve
from kto_tui.tui.widgets.path import Point

MINUTE = 60.0
Axis = Literal["step", "min"]
TIMED = ("gauges", "allocator")  # sources whose x is time


@dataclass(frozen=True, slots=True)
class Trace:
    """One curve of a pane.

    Attributes:
        source: which of ``Curves``' tables it is in.
        metric: its key there.
        per: of what is drawn over time: what one unit of the axis is, in the unit of the gauge.
    """

    name: str
    source: Literal["steps", "heldout", "gauges", "allocator"]
    metric: str
    per: float = 1.0

    def series(self, curves: Curves) -> Series:
        """Its points."""
        tables: dict[str, dict[str, Series]] = {
            "steps": curves.steps,
            "heldout": curves.heldout,
            "gauges": curves.gauges,
            "allocator": curves.allocator,
        }
        return tables[self.source][self.metric]

    def drawn(self, curves: Curves, style: int) -> Curve:
        """What the chart draws of it."""
        series = self.series(curves)
        points, means = list(series.points()), list(series.means())
        if self.source in TIMED:
            points, means = _scaled(points, self.per), _scaled(means, self.per)
        return Curve(self.name, points, style, means)


def _scaled(points: list[Point], per: float) -> list[Point]:
    return [(round(x / MINUTE, 2), None if y is None else y / per) for x, y in points]


@dataclass(frozen=True, slots=True)
class Pane:
    """One chart.

    Attributes:
        latest: the newest values, for the title.
        either: draw the first trace that has values, in place of all.
        optional: only there when a trace has values.
        rewards: of rewards, which SFT has not.
        unless: of the gauges: not there when that one has values.
        though: of the gauges: there all the same when this one has values.
        most: what no value exceeds.
    """

    key: str
    title: str
    traces: tuple[Trace, ...]
    latest: Callable[[RunState, Curves], str]
    either: bool = False
    optional: bool = False
    rewards: bool = False
    unless: str = ""
    though: str = ""
    most: float = math.inf

    @property
    def axis(self) -> Axis:
        """What its x is."""
        return "min" if self.traces[0].source in TIMED else "step"

    def present(self, curves: Curves, method: Method) -> bool:
        """Whether this run has it."""
        if self.rewards and method == "sft":
            return False
        stays = self.though and curves.gauges[self.though].known
        if self.unless and curves.gauges[self.unless].known and not stays:
            return False
        return not self.optional or any(trace.series(curves).known for trace in self.traces)

    def curves(self, curves: Curves) -> list[Curve]:
        """What to draw; a trace keeps its style, whichever others have values."""
        known = [trace for trace in self.traces if trace.series(curves).known]
        if self.either:
            return [trace.drawn(curves, 0) for trace in known[:1]]
        return [trace.drawn(curves, self.traces.index(trace)) for trace in known]


def _of_step(say: Callable[[StepCompleted], str]) -> Callable[[RunState, Curves], str]:
    return lambda state, _: "" if state.last_step is None else say(state.last_step)


def _of_gauges(say: Callable[[GaugesRead], str]) -> Callable[[RunState, Curves], str]:
    return lambda state, _: "" if state.gauges is None else say(state.gauges)


def _rewards(last: StepCompleted) -> str:
    both = (units.metric(value, 2, signed=True) for value in (last.reward_desirable, last.reward_undesirable))
    return f"{' '.join(both)} margin {units.metric(last.margin, 2, signed=True)}"


def _memory(gauges: GaugesRead) -> str:
    if gauges.gpu_used_bytes is not None:
        of = f" of {_gib(gauges.gpu_total_bytes)}" if gauges.gpu_total_bytes else ""
        return f"GPU {_gib(gauges.gpu_used_bytes)}{of}"
    free = "" if gauges.host_available_bytes is None else f", {_gib(gauges.host_available_bytes)} free"
    return f"{_gib(gauges.process_bytes)}{free}"


def _ram(gauges: GaugesRead) -> str:
    wired = "" if gauges.wired_bytes is None else f", wired {_gib(gauges.wired_bytes)}"
    return f"{_gib(gauges.host_available_bytes)}{wired}"


def _gib(n_bytes: int | None) -> str:
    return units.metric(None if n_bytes is None else n_bytes / units.GIB, 1)


def _loss(state: RunState, _: Curves) -> str:
    parts = [] if state.last_step is None else [units.metric(state.last_step.loss)]
    if state.evaluations and (held := state.evaluations[-1].loss) is not None:
        parts.append(f"held out {units.metric(held)}")
    return "  ".join(parts)


def _accuracy(state: RunState, _: Curves) -> str:
    train = None if state.last_step is None else state.last_step.accuracy
    parts = [] if train is None else [units.percent(train)]
    if state.evaluations:
        parts.append(f"held out {units.percent(state.evaluations[-1].accuracy)}")
    return "  ".join(parts)


def _speed(state: RunState, curves: Curves) -> str:
    now = None if state.last_step is None else state.last_step.tokens_per_second
    return f"{units.metric(now, 0)}, mean {units.metric(curves.steps['tokens_per_second'].mean, 0)}"


def _gpu(gauges: GaugesRead) -> str:
    heat = None if gauges.thermal_pressure is None else f"thermal {gauges.thermal_pressure}"
    if gauges.gpu_celsius is not None or heat is None:
        heat = f"{units.metric(gauges.gpu_celsius, 0)} °C"
    return f"{units.metric(gauges.gpu_percent, 0)} %  {heat}"


def _allocator(state: RunState, _: Curves) -> str:
    now: AllocatorRead | None = state.allocator
    if now is None:
        return ""
    return f"{_gib(now.active_bytes)} peak {_gib(now.peak_bytes)}"


# In the order in which they are shown: the first four fill a terminal of 80 by 24.
PANES = (
    Pane("loss", "loss", (Trace("loss", "steps", "loss"), Trace("held out", "heldout", "loss")), _loss),
    Pane(
        "rewards",
        "reward",
        (
            Trace("good", "steps", "reward_desirable"),
            Trace("bad", "steps", "reward_undesirable"),
            Trace("margin", "steps", "margin"),
        ),
        _of_step(_rewards),
        rewards=True,
    ),
    Pane("kl", "KL", (Trace("KL", "steps", "kl"),), _of_step(lambda last: units.metric(last.kl, 2)), rewards=True),
    Pane(
        "memory",
        "memory GiB",
        (
            Trace("GPU", "gauges", "gpu_used_bytes", units.GIB),
            Trace("process", "gauges", "process_bytes", units.GIB),
        ),
        _of_gauges(_memory),
        either=True,
    ),
    Pane(
        "accuracy",
        "accuracy",
        (Trace("train", "steps", "accuracy"), Trace("held out", "heldout", "accuracy")),
        _accuracy,
        rewards=True,
        most=1.0,
    ),
    Pane(
        "grad_norm",
        "gradient norm",
        (Trace("norm", "steps", "grad_norm"),),
        _of_step(lambda last: units.metric(last.grad_norm, 2)),
    ),
    Pane(
        "margin",
        "margin",
        (Trace("train", "steps", "margin"), Trace("held out", "heldout", "margin")),
        _of_step(lambda last: units.metric(last.margin, 2, signed=True)),
        rewards=True,
    ),
    Pane(
        "learning_rate",
        "learning rate",
        (Trace("rate", "steps", "learning_rate"),),
        _of_step(lambda last: "" if last.learning_rate is None else f"{last.learning_rate:.3g}"),
    ),
    Pane("speed", "tokens/s", (Trace("tokens/s", "steps", "tokens_per_second"),), _speed),
    Pane(
        "allocator",
        "allocator GiB",
        (
            Trace("active", "allocator", "active_bytes", units.GIB),
            Trace("cached", "allocator", "cache_bytes", units.GIB),
            Trace("peak", "allocator", "peak_bytes", units.GIB),
        ),
        _allocator,
        optional=True,
    ),
    Pane(
        "gpu",
        "GPU",
        (Trace("use %", "gauges", "gpu_percent"), Trace("°C", "gauges", "gpu_celsius")),
        _of_gauges(_gpu),
        optional=True,
    ),
    Pane(
        "power",
        "GPU power",
        (Trace("W", "gauges", "gpu_watts"),),
        _of_gauges(lambda gauges: f"{units.metric(gauges.gpu_watts, 0)} W"),
        optional=True,
    ),
    Pane(
        "cpu",
        "CPU, % of one core",
        (Trace("CPU %", "gauges", "cpu_percent"),),
        _of_gauges(lambda gauges: units.metric(gauges.cpu_percent, 0)),
        optional=True,
        unless="gpu_percent",
    ),
    Pane(
        "ram",
        "RAM free, GiB",
        (
            Trace("free", "gauges", "host_available_bytes", units.GIB),
            Trace("wired", "gauges", "wired_bytes", units.GIB),
        ),
        _of_gauges(_ram),
        optional=True,
        unless="gpu_percent",
        though="wired_bytes",  # where the GPU's memory is the host's
    ),
)
