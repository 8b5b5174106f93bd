"""Transformers' own integrations as the clients of a tracker, and the trainer's callback that feeds it."""

import os
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from kto_tui.backends.training.trackers import PROJECT, Part, Tracker
from kto_tui.runs.folder import RunFolder


class Integration:
    """One of Transformers' integrations, driven from outside the trainer too; see ``Client``.

    Args:
        name: of the integration.
        resumed: the step training goes on from; None where it begins.
        began: what the trainer calls its callbacks with: arguments, state and control.
        parts: what it calls them with besides.
    """

    def __init__(
        self,
        name: str,
        resumed: int | None,
        began: tuple[TrainingArguments, TrainerState, TrainerControl],
        parts: Mapping[str, Any],
    ) -> None:
        self._began = began
        self._callback = INTEGRATION_TO_CALLBACK[name]()
        if name == "tensorboard" and resumed is not None:
            from torch.utils.tensorboard import SummaryWriter

            folder = os.environ["TENSORBOARD_LOGGING_DIR"]
            self._callback.tb_writer = SummaryWriter(folder, purge_step=resumed + 1)
        self._callback.on_train_begin(*began, **parts)

    def log(self, _step: int, part: Part, figures: Mapping[str, Any]) -> None:
        """The integrations read the step from the trainer's state, and put ``train/`` before what has no prefix."""
        logs = dict(figures) if part == "train" else {f"eval_{name}": value for name, value in figures.items()}
        self._callback.on_log(*self._began, logs=logs)

    def close(self) -> None:
        """As at the end of a training."""
        self._callback.on_train_end(*self._began)


class TrackerCallback(TrainerCallback):  # type: ignore[misc]
    """Hands on what the trainer logs.

    Args:
        tracker: of the run.
        run: whose name the tracker shows, so that a resumed one goes on there where the tracker allows it.
    """

    def __init__(self, tracker: Tracker, run: RunFolder) -> None:
        self._tracker = tracker
        self._run = run

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **parts: Any,  # noqa: ANN401
    ) -> None:
        """What an integration needs is known now."""
        args.run_name, args.project = self._run.id, PROJECT
        self._tracker.begin(lambda name, resumed: Integration(name, resumed, (args, state, control), parts))

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """A logged step, or the trainer's summary of the training."""
        if logs is not None:
            self._tracker.log(state.global_step, logs)
