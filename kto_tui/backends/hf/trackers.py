"""A tracker beside the event log, where the recipe asks for one: Transformers' own, kept from ending a training."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import msgspec
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from kto_tui.backends.base import Job
from kto_tui.environment import installed
from kto_tui.errors import UserError
from kto_tui.runs.events import AnyEvent, Evaluated, Noted
from kto_tui.runs.folder import RunFolder

PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
HELDOUT = ("accuracy", "accuracy_desirable", "accuracy_undesirable", "margin")


class Tracker(TrainerCallback):  # type: ignore[misc]
    """Hands logged steps and held-out figures on to one of Transformers' integrations, until that fails once.

    Args:
        name: of the integration, one of ``PACKAGES``.
        job: the run; what it emits goes on to its event log.
    """

    def __init__(self, name: str, job: Job) -> None:
        self._name = name
        self._job = job
        self._began: tuple[TrainingArguments, TrainerState, TrainerControl] | None = None
        self._integration: Any = None
        self._guarded(lambda: setattr(self, "_integration", INTEGRATION_TO_CALLBACK[name]()))

    def _guarded(self, call: Any) -> None:  # noqa: ANN401 - called for its effect
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever a tracker stumbles over is not worth a training
            self._integration = None
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            self._job.emit(Noted(text=f"{self._name} is not followed any more ({reason[:200]}); the training goes on"))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,  # noqa: ANN401
    ) -> None:
        """Named as the run is, so that a resumed one goes on there where the tracker allows it."""
        self._began = args, state, control
        args.run_name, args.project = self._job.run.id, "kto-tui"
        if self._integration is not None:
            self._guarded(lambda: self._integration.on_train_begin(args, state, control, **more))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        """A logged step."""
        if self._integration is not None and logs is not None:
            self._guarded(lambda: self._integration.on_log(args, state, control, logs=dict(logs), **more))

    def emit(self, event: AnyEvent) -> None:
        """Write ``event``, and hand held-out figures on: they do not come from the trainer's own evaluation."""
        self._job.emit(event)
        if isinstance(event, Evaluated) and self._began is not None:
            figures = {f"eval_{name}": value for name in HELDOUT if (value := getattr(event, name)) is not None}
            self.on_log(*self._began, logs=figures)

    def close(self) -> None:
        """The last figure has been handed on."""
        if self._integration is not None and self._began is not None:
            began = self._began
            self._guarded(lambda: self._integration.on_train_end(*began))


@contextlib.contextmanager
def tracked(job: Job) -> Iterator[tuple[Job, list[Tracker]]]:
    """``job`` as it is to be trained, and the callback that follows it where its recipe asks for a tracker.

    Raises:
        UserError: the tracker's package is not installed.
    """
    name = job.config.recipe.report_to
    if name == "none":
        yield job, []
        return
    if installed(PACKAGES[name]) is None:
        raise UserError(
            f"The tracker {name} is not installed",
            mend=f"Install it with: python -m pip install {PACKAGES[name]}, or set report_to to none",
            where="[recipe] report_to",
        )
    _settle(job.run)
    tracker = Tracker(name, job)
    try:
        yield msgspec.structs.replace(job, emit=tracker.emit), [tracker]
    finally:
        tracker.close()


def _settle(run: RunFolder) -> None:
    """Files of a tracker lie in the run's folder; the model itself is never sent, whatever the environment says."""
    os.environ |= {
        "TENSORBOARD_LOGGING_DIR": str(run.path / "tensorboard"),
        "WANDB_DIR": str(run.path),
        "WANDB_NAME": run.id,
        "WANDB_RUN_ID": run.id,
        "WANDB_RESUME": "allow",
        "WANDB_LOG_MODEL": "false",
        "WANDB_WATCH": "false",
    }
    os.environ.setdefault("WANDB_PROJECT", "kto-tui")
