"""The one callback between the Hugging Face trainer and the event log."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.hf.device import Device
from kto_tui.backends.hf.rewards import HeldoutRewards
from kto_tui.runs.control import Action
from kto_tui.runs.events import CheckpointSaved, StepCompleted, TrainingStarted, finite
from kto_tui.runs.folder import folder_bytes


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
        heldout: HeldoutRewards | None,
        first_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._first_step: Callable[[], None] | None = first_step
        self._job = job
        self._model = model
        self._device = device
        self._heldout = heldout
        self._tokens = 0
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
        """Look for a request once per optimizer step; evaluate at the recipe's interval."""
        if self._first_step is not None:
            self._first_step()
            self._first_step = None
        if state.global_step == state.max_steps:
            control.should_log = True  # the curve ends where the training does, whatever the interval
        action = self._job.requested()
        if action is not None:
            self.ended_by = action
            control.should_training_stop = True
            control.should_save = False
            return
        every = self._job.config.recipe.eval_every
        if every is not None and state.global_step % every == 0 and state.global_step < state.max_steps:
            self.evaluate(state.global_step)

    def evaluate(self, step: int) -> None:
        """Score the held-out rows; the time it takes does not count against training speed."""
        if self._heldout is None:
            return
        begin = time.monotonic()
        # A request that interrupts the scoring is acted on by whoever looks next; nothing learnt is lost by it.
        with contextlib.suppress(StopRequested):
            self._job.emit(self._heldout.evaluate(step))
        self._paused += time.monotonic() - begin

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
        now = time.monotonic()
        seconds = now - self._since - self._paused
        self._since, self._paused = now, 0.0
        total = finite(logs.get("num_tokens"))
        tokens = None if total is None else int(total) - self._tokens
        self._tokens += tokens or 0
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
                grad_norm=finite(logs.get("grad_norm")),
                learning_rate=finite(logs.get("learning_rate")),
                tokens=tokens,
                seconds=round(seconds, 3),
                tokens_per_second=None if tokens is None or seconds <= 0 else round(tokens / seconds, 1),
            )
        )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """A checkpoint is on disk."""
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if path.is_dir():
            self._job.emit(CheckpointSaved(step=state.global_step, path=str(path), size_bytes=folder_bytes(path)))
