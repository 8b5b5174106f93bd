"""Recorded runs of a real model and how to replay them (tests/runs/recorded/README.md)."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from kto_tui.recipe import Recipe, with_overrides
from kto_tui.runs.curves import Curves
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import (
    AnyEvent,
    Evaluated,
    Sampled,
    StepCompleted,
)
from kto_tui.runs.state import RunState, fold
from kto_tui.runs.verdicts import Verdict, judge

FOLDER = Path(__file__).parent / "recorded"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A recording. ``fires``: the first verdict at its end, None for a healthy run; ``step``: where it first fires."""

    name: str
    data: str
    recipe: Recipe
    fires: str | None = None
    step: int = 0

    def events(self) -> list[AnyEvent]:
        return read_events(FOLDER / f"{self.name}.jsonl")


def read_events(path: Path) -> list[AnyEvent]:
    tail, events = Tail(path), []
    while new := tail.read():
        events += new
    assert not tail.skipped
    assert not tail.damaged
    return events


def recordings() -> list[Recorded]:
    table: dict[str, dict[str, Any]] = tomllib.loads((FOLDER / "runs.toml").read_text(encoding="utf-8"))
    return [
        Recorded(name=name, **{**entry, "recipe": with_overrides(Recipe(), entry["recipe"])})
        for name, entry in table.items()
    ]


def replay(events: Iterable[AnyEvent], recipe: Recipe) -> Iterator[tuple[int, list[Verdict]]]:
    """Step and verdicts after every event that can change them."""
    curves, state = Curves(), RunState()
    for event in events:
        curves.add([event])
        state = fold(state, [event])
        if isinstance(event, StepCompleted | Evaluated | Sampled):
            yield state.logged_step, judge(curves, state, recipe)


def first_steps(events: Iterable[AnyEvent], recipe: Recipe) -> dict[str, int]:
    """The step at which each rule first spoke."""
    first: dict[str, int] = {}
    for step, verdicts in replay(events, recipe):
        for verdict in verdicts:
            first.setdefault(verdict.rule, step)
    return first
