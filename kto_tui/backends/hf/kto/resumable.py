"""The exact trainer with everything that another process needs to go on to the same bits."""

from pathlib import Path
from typing import Any

import msgspec
import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import TrainerState

from kto_tui.backends.hf.kto.trainer import ExactKTOTrainer
from kto_tui.data.prepare import Window

ADAPTER, STATE, PROGRESS = "adapter_model.safetensors", "trainer_state.json", "progress.msgpack"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the trainer holds beside adapter, optimizer, schedule and random numbers.

    Attributes:
        tokens: trained on so far.
        tokens_logged: of those, up to the last point of the curves.
        logged: step of that point.
        loss: summed since then.
        loss_broke: whether a step since then had none.
        metrics: by name, of each step since then.
        seconds: training took since then.
        skipped: steps in a row that the guard skipped, and that the gradient scaler did.
        micro_batch: rows per pack, which may have been lowered when memory ran out.
        room: of a pass without gradient, likewise.
        changed: windows that memory did not hold as they were.
    """

    tokens: int
    tokens_logged: int
    logged: int
    loss: float
    loss_broke: bool
    metrics: dict[str, list[float]]
    seconds: float
    skipped: tuple[int, int]
    micro_batch: int
    room: int
    changed: dict[int, Window]


class ResumableKTOTrainer(ExactKTOTrainer):
    """Writes and reads what a checkpoint holds; when one is written, and where, is the ``Saver``'s."""

    def write(self, folder: Path, *, seconds: float) -> None:
        """Everything to go on from here.

        Args:
            folder: exists and is empty.
            seconds: training took since the last point of the curves.

        Raises:
            OSError, RuntimeError, SafetensorError: it cannot be written, each library in its own words.
        """
        policy = self.accelerator.unwrap_model(self.model)
        # Not save_pretrained, which also renders a model card and may ask the hub: twice the time.
        adapter = get_peft_model_state_dict(policy, save_embedding_layers=False)
        save_file({name: tensor.contiguous() for name, tensor in adapter.items()}, folder / ADAPTER, {"format": "pt"})
        policy.peft_config[policy.active_adapter].save_pretrained(folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        # The event log has every point; here they would only grow.
        self.state.log_history.clear()
        self.state.save_to_json(str(folder / STATE))
        # MessagePack, because JSON has no NaN.
        (folder / PROGRESS).write_bytes(msgspec.msgpack.encode(self._progress(seconds)))

    def _progress(self, seconds: float) -> Progress:
        return Progress(
            tokens=self._total_train_tokens,
            tokens_logged=self._tokens_logged,
            logged=self._globalstep_last_logged,
            loss=float(self._tr_loss),
            loss_broke=self._loss_broke,
            metrics=dict(self._metrics["train"]),
            seconds=seconds,
            skipped=(self._guard.in_a_row, self._guard.rescaled),
            micro_batch=self.step.micro_batch,
            room=self.step.room,
            changed=self._relief.changed,
        )

    def restore(self, folder: Path, *, same_rows: bool) -> float:
        """Take up where the checkpoint in ``folder`` was written; call when training begins.

        Args:
            folder: of the checkpoint.
            same_rows: whether its windows are this trainer's.

        Returns:
            Seconds that training had taken since the last point of the curves.
        """
        saved = msgspec.msgpack.decode((folder / PROGRESS).read_bytes(), type=Progress)
        self._total_train_tokens, self._tokens_logged = saved.tokens, saved.tokens_logged
        self._globalstep_last_logged: int = saved.logged
        self._tr_loss = torch.tensor(saved.loss, device=self.args.device)
        self._loss_broke = saved.loss_broke
        self._metrics["train"].update(saved.metrics)
        self._guard.in_a_row, self._guard.rescaled = saved.skipped
        # Recovery may have chosen less meanwhile.
        self.step.micro_batch = min(self.step.micro_batch, saved.micro_batch)
        self.step.room = min(self.step.room, saved.room)
        if same_rows:
            self._relief.changed.update(saved.changed)
        return saved.seconds

    def restore_done(self, folder: Path) -> None:
        """The adapter and step count of a checkpoint after which no step is left."""
        self._load_from_checkpoint(str(folder))
        self.state = TrainerState.load_from_json(str(folder / STATE))

    def planned_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return int(self.set_initial_training_values(self.args, self.get_train_dataloader())[-1])

    def checkpoint_bytes(self) -> int:
        """About what the first checkpoint takes: the adapter, and twice that for Adam's moments."""
        return 3 * sum(int(p.nbytes) for p in self.model.parameters() if p.requires_grad)

    def _save_checkpoint(self, *_: Any) -> None:  # noqa: ANN401
        """Nothing: the ``Saver`` writes when it is told of the save that is due."""

    def _init_training_state(self, max_steps: int, *args: Any) -> Any:  # noqa: ANN401
        """The Trainer's, with this run's intervals, not the checkpoint's."""
        position = super()._init_training_state(max_steps, *args)
        self.state.compute_steps(self.args, max_steps)
        return position

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ANN401
        """Copy the adapter into the one there is; PEFT's own way would make it 32-bit where it was not."""
        policy = self.model if model is None else model
        found = set_peft_model_state_dict(policy, load_file(Path(resume_from_checkpoint) / ADAPTER))
        if found.unexpected_keys:
            raise RuntimeError(f"the checkpoint's adapter has layers this model has not: {found.unexpected_keys[:3]}")
