"""Clients of the trackers' own packages, with the names and texts of Transformers' integrations and without torch."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from kto_tui.backends.training.trackers import FOLDER, PROJECT, STEP, Client, Part
from kto_tui.runs.folder import RunFolder


class Followed(msgspec.Struct, frozen=True):
    """What a tracker is told of a run beside its figures.

    Attributes:
        settings: of the training.
        model: the base model's ``config.json``.
        parameters: of the model with its adapters.
    """

    run: RunFolder
    settings: Mapping[str, Any]
    model: Mapping[str, Any]
    parameters: int

    def open(self, name: str, resumed: int | None) -> Client:
        """The client of the tracker ``name``, for a run that goes on after the step ``resumed``; None: a new one."""
        if name == "tensorboard":
            return TensorBoard(self, resumed)
        return WandB(self) if name == "wandb" else Trackio(self)

    def config(self) -> dict[str, Any]:
        """As W&B and Trackio show it."""
        return {**self.model, **self.settings, "model/num_parameters": self.parameters}


class TensorBoard:
    """Event files in the run's folder, each scalar as torch's ``SummaryWriter`` writes it.

    Args:
        followed: the run.
        resumed: what earlier files have beyond that step is not shown any more.
    """

    def __init__(self, followed: Followed, resumed: int | None) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
        from tensorboard.util.tensor_util import make_tensor_proto

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(str(followed.run.path / FOLDER))
        if resumed is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(event_pb2.Event(step=resumed + 1, wall_time=time.time(), session_log=start))
        for name, shown in (("args", followed.settings), ("model_config", followed.model)):
            self._add(
                0,
                tag=f"{name}/text_summary",
                metadata=create_summary_metadata(display_name=name, description=""),
                tensor=make_tensor_proto([json.dumps(shown, indent=2, sort_keys=True, default=str)]),
            )
        self._writer.flush()

    def _add(self, step: int, **value: Any) -> None:  # noqa: ANN401 - fields of tensorboard's Summary.Value
        summary = self._summary(value=[self._summary.Value(**value)])
        self._writer.add_event(self._event(step=step, wall_time=time.time(), summary=summary))

    def log(self, step: int, part: Part, figures: Mapping[str, float]) -> None:
        """On disk when it returns, so that whoever looks sees it."""
        for name, figure in figures.items():
            self._add(step, tag=f"{part}/{name}", simple_value=figure)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases; its project, id and folder are in the environment (``trackers.tracked``)."""

    def __init__(self, followed: Followed) -> None:
        import wandb

        self._run = wandb.init(project=os.environ["WANDB_PROJECT"], name=followed.run.id)
        # Recovery from a fault may have lowered settings of a run that is resumed.
        self._run.config.update(followed.config(), allow_val_change=True)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP, step_sync=True)

    def log(self, step: int, part: Part, figures: Mapping[str, float]) -> None:
        """Queued; W&B's own process sends it."""
        self._run.log({**_named(part, figures), STEP: step})

    def close(self) -> None:
        """Nothing: W&B ends a run with its process, and knows then whether that failed."""


class Trackio:
    """A run of Trackio, on this machine unless its own environment variables name a Space or a server."""

    def __init__(self, followed: Followed) -> None:
        import trackio

        self._trackio = trackio
        trackio.init(project=PROJECT, name=followed.run.id, resume="allow", config=followed.config())

    def log(self, step: int, part: Part, figures: Mapping[str, float]) -> None:
        """Queued; a thread of Trackio's writes it."""
        self._trackio.log({**_named(part, figures), STEP: step})

    def close(self) -> None:
        """Wait until all is written."""
        self._trackio.finish()


def _named(part: Part, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{part}/{name}": figure for name, figure in figures.items()}
