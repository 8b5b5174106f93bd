"""What a checkpoint of a training on MLX holds: adapters, optimizer, random numbers, progress."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from safetensors.numpy import load_file, save_file

from kto_tui.backends.mlx.progress import Progress
from kto_tui.backends.mlx.trainer import Trainer

ADAPTER, OPTIMIZER, PROGRESS = "adapter.safetensors", "optimizer.safetensors", "progress.msgpack"
RANDOM = "random"


def write(trainer: Trainer, folder: Path, *, seconds: float) -> None:
    """Everything to go on from here to the same bits.

    Args:
        trainer: whose.
        folder: exists and is empty.
        seconds: training took since the last point of the curves.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    save_file(_arrays(trainer.model.trainable_parameters()), folder / ADAPTER)
    state = _arrays(trainer.optimizer.state) | {RANDOM: np.array(mx.random.state[0])}
    save_file(state, folder / OPTIMIZER)
    progress, step = trainer.progress, trainer.step
    progress.seconds, progress.skipped = seconds, trainer.guard.in_a_row
    progress.micro_batch, progress.room, progress.changed = step.micro_batch, step.room, trainer.relief.changed
    # MessagePack, because JSON has no NaN.
    (folder / PROGRESS).write_bytes(msgspec.msgpack.encode(progress))


def restore(trainer: Trainer, folder: Path, *, same_rows: bool) -> float:
    """Take up where the checkpoint in ``folder`` was written.

    Args:
        trainer: that goes on; made for the same run.
        folder: of the checkpoint.
        same_rows: whether its windows are this trainer's.

    Returns:
        Seconds that training had taken since the last point of the curves.
    """
    trainer.model.update(tree_unflatten([(name, mx.array(each)) for name, each in load_file(folder / ADAPTER).items()]))
    state = load_file(folder / OPTIMIZER)
    # The state of the generator is the key that a seed's two halves make (mlx.core.random.key).
    high, low = state.pop(RANDOM).tolist()
    mx.random.seed(high << 32 | low)
    trainer.optimizer.state = tree_unflatten([(name, mx.array(each)) for name, each in state.items()])
    mx.eval(trainer.model.trainable_parameters(), trainer.optimizer.state)
    saved = msgspec.msgpack.decode((folder / PROGRESS).read_bytes(), type=Progress)
    trainer.progress = saved
    trainer.guard.in_a_row = saved.skipped
    # Recovery may have chosen less meanwhile.
    trainer.step.micro_batch = min(trainer.step.micro_batch, saved.micro_batch)
    trainer.step.room = min(trainer.step.room, saved.room)
    if same_rows:
        trainer.relief.changed.update(saved.changed)
    return saved.seconds


def _arrays(tree: Any) -> dict[str, np.ndarray[Any, Any]]:  # noqa: ANN401
    return {name: np.array(each) for name, each in tree_flatten(tree)}
