"""Runs with chosen names and events, as the worker would have left them."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kto_tui.paths import runs_home
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig, to_toml
from kto_tui.runs.events import AnyEvent, StepCompleted
from kto_tui.runs.folder import RunFolder

CONFIG = RunConfig(model="org/name", data="starter", recipe=Recipe(), because={"beta": "the usual value"})
RECORDED = Path(__file__).parents[2] / "screenshots" / "recorded"


def made_run(name: str, events: Iterable[AnyEvent] = (), *, config: RunConfig = CONFIG, age: int = 0) -> RunFolder:
    """A run called ``name``, ``age`` seconds old, whose log holds ``events`` with their times."""
    run = RunFolder(runs_home() / name)
    run.path.mkdir(parents=True)
    run.config.write_text(to_toml(config), encoding="utf-8")
    os.utime(run.config, (1_700_000_000 - age, 1_700_000_000 - age))
    write(run, events)
    return run


def write(run: RunFolder, events: Iterable[AnyEvent]) -> None:
    """Append ``events`` as they are."""
    encode = msgspec.json.Encoder().encode
    with run.events.open("ab") as file:
        file.writelines(encode(event) + b"\n" for event in events)
    if not run.events.stat().st_size:
        run.events.unlink()


def step(number: int, loss: float | None = 0.5, *, total: int = 10, **values: float) -> StepCompleted:
    """A logged step, a second after the one before."""
    measured = {"seconds": 1.0, "tokens": 100, **values}
    return StepCompleted(step=number, total_steps=total, loss=loss, t=1000.0 + number, **measured)  # type: ignore[arg-type]
