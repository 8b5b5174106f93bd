"""Every logged step of a run exactly as it was written, in its final history."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import (
    AnyEvent,
    Evaluated,
    Resumed,
    Sampled,
    StepCompleted,
)

Measured = StepCompleted | Evaluated | Sampled


class _Lasting(NamedTuple):
    """How many events there are, and after each resumption the last step that none of the later ones takes back."""

    events: int
    limits: list[tuple[int, float]]


def _events(path: Path) -> Iterator[AnyEvent]:
    tail = Tail(path)
    while events := tail.read():
        yield from events


def _lasting(path: Path) -> _Lasting:
    count, resumptions = 0, []
    for event in _events(path):
        if isinstance(event, Resumed):
            resumptions.append((count, event.step))
        count += 1
    limits: list[tuple[int, float]] = []
    limit = math.inf
    for at, step in reversed(resumptions):
        limit = min(limit, step)
        limits.append((at, limit))
    return _Lasting(count, limits)


def history(path: Path) -> Iterator[Measured]:
    """What the event log at ``path`` holds of steps, evaluations and answers, less what a resumed run took back.

    The log is read twice and never held: what is written meanwhile is left out. The base model's answers (step 0) stay.
    """
    events, limits = _lasting(path)
    for index, event in enumerate(_events(path)):
        if index == events:
            return
        while limits and limits[-1][0] <= index:
            limits.pop()
        if isinstance(event, Measured) and event.step <= (limits[-1][1] if limits else math.inf):
            yield event
