"""A tracker beside the event log, where the recipe asks for one; whatever befalls it, the training goes on."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from kto_tui.backends.base import Job
from kto_tui.environment import require_tracker
from kto_tui.runs.events import AnyEvent, Evaluated, Noted, Resumed
from kto_tui.runs.folder import RunFolder
from kto_tui.secrets import without_secrets

# Of Trackio and W&B; the latter's can be set by WANDB_PROJECT.
PROJECT = "kto-tui"
# Where W&B and Trackio have the step: the name of Transformers' integrations.
STEP = "train/global_step"
FOLDER = "tensorboard"
HELDOUT = ("accuracy", "accuracy_desirable", "accuracy_undesirable", "margin", "loss")
# Of the training steps, or of the held-out rows.
Part = Literal["train", "eval"]


class Client(Protocol):
    """One run as a tracker's own package follows it; whatever it raises ends the tracker alone."""

    def log(self, step: int, part: Part, figures: Mapping[str, Any]) -> None:
        """Send ``figures`` after ``step``, under names that begin with ``part/``."""

    def close(self) -> None:
        """The last figure has been sent."""


class Tracker:
    """Hands points of the curves and held-out figures on to a client, until that fails once.

    A resumed run takes steps again that an earlier process sent. TensorBoard's client tells it to forget those. W&B
    cannot, but knows how far it has come, and gets no earlier point again. Trackio does neither: it gets them twice.

    Args:
        name: of the tracker, one of ``kto_tui.environment.TRACKERS``.
        job: the run; what it emits goes on to its event log.
    """

    def __init__(self, name: str, job: Job) -> None:
        self._name = name
        self._job = job
        self._client: Client | None = None
        self._resumed: int | None = None
        self._sent = 0

    def begin(self, follow: Callable[[str, int | None], Client]) -> None:
        """Training begins.

        Args:
            follow: opens the client for the tracker of that name; told the step training goes on from, None where
                it begins.
        """

        def start() -> None:
            self._client = follow(self._name, self._resumed)
            if self._name == "wandb" and self._resumed is not None:
                self._sent = _known_to_wandb()

        self._guarded(start)

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever a tracker stumbles over is not worth a training
            self._client = None
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            said = without_secrets(reason)[:200]
            self._job.emit(Noted(text=f"{self._name} is not followed any more ({said}); the training goes on"))

    def log(self, step: int, figures: Mapping[str, Any], part: Part = "train") -> None:
        """Hand on what is known after ``step``, by TRL's names."""
        client = self._client
        if client is not None and step >= self._sent:
            self._guarded(lambda: client.log(step, part, figures))

    def emit(self, event: AnyEvent) -> None:
        """Write ``event``, and hand held-out figures on."""
        self._job.emit(event)
        if isinstance(event, Resumed):
            self._resumed = event.step
        elif isinstance(event, Evaluated):
            figures = {name: value for name in HELDOUT if (value := getattr(event, name)) is not None}
            self.log(event.step, figures, "eval")

    def close(self) -> None:
        """The last figure has been handed on."""
        if self._client is not None:
            self._guarded(self._client.close)


def _known_to_wandb() -> int:
    """The last step that the server has of the run; 0 where it has none, or is not asked because W&B is offline."""
    import wandb

    return int(wandb.run.summary.get(STEP, 0))


@contextlib.contextmanager
def tracked(job: Job) -> Iterator[tuple[Job, Tracker | None]]:
    """``job`` as it is to be trained, and what follows it where its recipe asks for a tracker.

    Raises:
        UserError: the tracker's package is not installed.
    """
    name = job.config.recipe.report_to
    if name == "none":
        yield job, None
        return
    require_tracker(name)
    _settle(job.run)
    tracker = Tracker(name, job)
    try:
        yield msgspec.structs.replace(job, emit=tracker.emit), tracker
    finally:
        tracker.close()


def _settle(run: RunFolder) -> None:
    """Files of a tracker lie in the run's folder; the model itself is never sent, whatever the environment says."""
    os.environ |= {
        "TENSORBOARD_LOGGING_DIR": str(run.path / FOLDER),
        "WANDB_DIR": str(run.path),
        "WANDB_NAME": run.id,
        "WANDB_RUN_ID": run.id,
        "WANDB_RESUME": "allow",
        "WANDB_LOG_MODEL": "false",
        "WANDB_WATCH": "false",
    }
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
