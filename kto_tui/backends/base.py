"""What the worker hands a backend, and what it expects back."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action
from kto_tui.runs.events import AnyEvent, PhaseEntered
from kto_tui.runs.folder import RunFolder


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The run was asked to end outside the training loop."""


class Job(msgspec.Struct, frozen=True):
    """One training job: its folder, its frozen choices, where events go and how to learn of a stop request."""

    run: RunFolder
    config: RunConfig
    emit: Callable[[AnyEvent], None]
    requested: Callable[[], Action | None]

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
