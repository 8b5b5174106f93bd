"""Points of the curves: what is not known stays unknown, and speed counts training alone."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kto_tui.backends.base import Job
from kto_tui.backends.training import points as points_module
from kto_tui.backends.training.points import Points
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, StepCompleted
from kto_tui.runs.folder import RunFolder


class Clock:
    """Time that the test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(points_module, "time", SimpleNamespace(monotonic=clock))
    return clock


def points(told: list[AnyEvent]) -> Points:
    return Points(Job(RunFolder(Path()), RunConfig(model="m", data="d", recipe=Recipe()), told.append, lambda: None))


def test_seconds_are_those_of_the_training(clock: Clock) -> None:
    told: list[AnyEvent] = []
    curve = points(told)
    clock.now += 50
    curve.restart()
    curve.carry(3)
    clock.now += 10
    curve.exclude(4)
    assert curve.unlogged_seconds() == 9
    curve.emit(1, 8, 0.5, {"loss": 0.5, "tokens": 90})
    clock.now += 2
    curve.emit(2, 8, 1.0, {"loss": 0.25, "tokens": 30})
    steps = [event for event in told if isinstance(event, StepCompleted)]
    assert [(step.step, step.seconds, step.tokens, step.tokens_per_second) for step in steps] == [
        (1, 9.0, 90, 10.0),
        (2, 2.0, 30, 15.0),
    ]


def test_what_is_missing_or_no_number_is_unknown(clock: Clock) -> None:
    told: list[AnyEvent] = []
    points(told).emit(1, 8, None, {"loss": float("nan"), "rewards/chosen": 0.5, "grad_norm": float("inf")})
    (step,) = told
    assert isinstance(step, StepCompleted)
    assert (step.loss, step.grad_norm, step.margin, step.tokens, step.tokens_per_second) == (None,) * 5
    assert step.reward_desirable == 0.5
