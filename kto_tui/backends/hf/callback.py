"""The one callback between the Hugging Face trainer and the event log."""

import time
from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job
from kto_tui.backends.hf.device import Device
from kto_tui.runs.control import Action
from kto_tui.runs.events import StepCompleted, TrainingStarted, finite


class EventCallback(TrainerCallback):  # type: ignore[misc]
    """Turns trainer callbacks into events and stop requests into trainer control.

    ``first_step`` is called once, when the first optimizer step is done.

    Attributes:
        ended_by: the request that ended training early, if any.
    """

    def __init__(
        self,
        job: Job,
        model: PeftModel,
        device: Device,
        first_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._first_step: Callable[[], None] | None = first_step
        self._job = job
        self._model = model
        self._device = device
        self._since = time.monotonic()
        self._paused = 0.0
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
        self._since = time.monotonic()

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

    def exclude(self, seconds: float) -> None:
        """Do not count ``seconds`` against the training's speed."""
        self._paused += seconds

    def unlogged_seconds(self) -> float:
        """Training time since the last point of the curves."""
        return time.monotonic() - self._since - self._paused

    def carry(self, seconds: float) -> None:
        """Count ``seconds`` of an earlier process with the next point."""
        self._paused -= seconds

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
        seconds = self.unlogged_seconds()
        self._since, self._paused = time.monotonic(), 0.0
        total = finite(logs.get("tokens"))
        tokens = None if total is None else int(total)
        self._job.emit(
            StepCompleted(
                step=state.global_step,
                total_steps=state.max_steps,
                epoch=finite(state.epoch),
                loss=finite(logs.get("loss")),
                kl=finite(logs.get("kl")),
                reward_desirable=finite(logs.get("rewards/chosen")),
                reward_undesirable=finite(logs.get("rewards/rejected")),
                margin=finite(logs.get("rewards/margins")),
                accuracy=finite(logs.get("rewards/accuracies")),
                accuracy_desirable=finite(logs.get("rewards/accuracies_chosen")),
                accuracy_undesirable=finite(logs.get("rewards/accuracies_rejected")),
                grad_norm=finite(logs.get("grad_norm")),
                learning_rate=finite(logs.get("learning_rate")),
                tokens=tokens,
                seconds=round(seconds, 3),
                tokens_per_second=None if tokens is None or seconds <= 0 else round(tokens / seconds, 1),
            )
        )
