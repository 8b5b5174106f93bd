"""The one callback between the Hugging Face trainer and the event log."""

from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job
from kto_tui.backends.hf.device import Device
from kto_tui.backends.training.points import Points
from kto_tui.runs.control import Action
from kto_tui.runs.events import TrainingStarted


class EventCallback(TrainerCallback):  # type: ignore[misc]
    """Turns trainer callbacks into events and stop requests into trainer control.

    Args:
        job: the run.
        model: that is trained.
        device: what it runs on.
        points: of the curves.
        first_step: called once, when the first optimizer step is done.

    Attributes:
        ended_by: the request that ended training early, if any.
    """

    def __init__(
        self,
        job: Job,
        model: PeftModel,
        device: Device,
        points: Points,
        first_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._first_step: Callable[[], None] | None = first_step
        self._job = job
        self._model = model
        self._device = device
        self._points = points
        self.ended_by: Action | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """The number of steps is known now; speed counts from here."""
        self._job.emit(
            TrainingStarted(
                total_steps=state.max_steps,
                device=torch.cuda.get_device_name() if self._device.type == "cuda" else self._device.type,
                precision=self._device.precision,
                trainable_parameters=sum(p.numel() for p in self._model.parameters() if p.requires_grad),
                total_parameters=sum(p.numel() for p in self._model.parameters()),
            )
        )
        self._points.restart()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Look for a request once per optimizer step."""
        if self._first_step is not None:
            self._first_step()
            self._first_step = None
        action = self._job.requested()
        if action in {"stop", "abort"}:  # a pause waits for its checkpoint, see Saver
            self.ended_by = action
            control.should_training_stop = True
            control.should_save = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """A point of the curves; TRL leaves out what a window without one label cannot know."""
        if logs is None or "loss" not in logs:
            return
        self._points.emit(state.global_step, state.max_steps, state.epoch, logs)
