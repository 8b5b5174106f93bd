"""What the worker hands a backend, and what it expects back."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action, Setting
from kto_tui.runs.events import AnyEvent, PhaseEntered
from kto_tui.runs.folder import RunFolder


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The run was asked to end outside the training loop."""


class Job(msgspec.Struct, frozen=True):
    """One training job: its folder, its choices, where events go, and how to learn what a person asks of it.

    Attributes:
        requested: how the run is to end, if at all.
        settings: what was changed since the run started, by name (``kto_tui.runs.control.Request``).
        marks: remarks since the last call.
    """

    run: RunFolder
    config: RunConfig
    emit: Callable[[AnyEvent], None]
    requested: Callable[[], Action | None]
    settings: Callable[[], Mapping[str, Setting]] = dict
    marks: Callable[[], list[str]] = list

    def enter(self, phase: str) -> None:
        """Announce a phase outside the training loop, and leave here if a stop was requested meanwhile."""
        if self.requested() is not None:
            raise StopRequested
        self.emit(PhaseEntered(phase=phase))


class Backend(Protocol):
    """Trains one job to its end and saves the adapter into the run's folder."""

    def __call__(self, job: Job) -> Action | None:
        """Run ``job``; returns the request that ended it early, None when it ran to its end.

        Raises:
            UserError: the input or the machine cannot do it.
            StopRequested: asked to end before training began.
        """
