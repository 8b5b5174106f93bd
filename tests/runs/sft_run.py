"""The events of an SFT run, as a worker that trains on good rows alone writes them: a loss, and no rewards."""

from collections.abc import Sequence

import msgspec

from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import (
    AnyEvent,
    DataPrepared,
    Ended,
    Evaluated,
    StepCompleted,
    TrainingStarted,
)

CONFIG = RunConfig(model="org/name", data="starter", backend="mlx", recipe=Recipe(method="sft", effective_batch=8))
PREPARED = DataPrepared(
    train_rows=320,
    heldout_rows=40,
    desirable=320,
    undesirable=0,
    dropped_rows=0,
    cut_rows=0,
    desirable_weight=1.0,
    undesirable_weight=1.0,
    weights_because="SFT does not weigh labels",
    t=1000.0,
)
STARTED = TrainingStarted(
    total_steps=40, device="gpu", precision="bf16", trainable_parameters=1_000, total_parameters=10_000, t=1000.0
)


def falling(count: int = 40) -> list[float]:
    """A training loss that falls from 2.5 to 1.5, with some scatter."""
    return [2.5 - i / count + 0.02 * (i % 3) for i in range(count)]


def sft_events(
    losses: Sequence[float] = tuple(falling()), heldout: Sequence[float] = (2.6, 1.9, 1.7), *, ended: bool = False
) -> list[AnyEvent]:
    """A run with these training losses, evaluated in even distances, the first time before it began."""
    events: list[AnyEvent] = [PREPARED, STARTED]
    every = len(losses) // max(1, len(heldout) - 1)
    evaluations = {i * every: loss for i, loss in enumerate(heldout)}
    for at in range(len(losses) + 1):
        if at:
            events.append(
                StepCompleted(
                    step=at, total_steps=40, loss=losses[at - 1], grad_norm=1.0 + at % 2 / 10, learning_rate=1e-4,
                    tokens=100 * at, seconds=float(at), tokens_per_second=100.0, t=1000.0 + at,
                )
            )  # fmt: skip
        if at in evaluations:
            events.append(Evaluated(step=at, rows=40, accuracy=None, loss=evaluations[at], t=1000.5 + at))
    if ended:
        events.append(msgspec.structs.replace(Ended(reason="finished"), t=2000.0))
    return events
