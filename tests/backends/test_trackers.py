"""Under the TRL backend a tracker's client is Transformers' own integration, fed by the trainer's callbacks."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import integration_utils

from kto_tui.backends.base import Job
from kto_tui.backends.hf import trackers as integrations
from kto_tui.backends.hf.trackers import TrackerCallback
from kto_tui.backends.training.trackers import Tracker
from kto_tui.environment import TRACKERS
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, Evaluated, Noted, Resumed
from kto_tui.runs.folder import RunFolder


class Followed(TrainerCallback):
    """As Transformers' integrations are, but keeps what it is told; ``broken``: the call that fails."""

    broken = ""
    told: list[tuple[str, Any]]

    def __init__(self) -> None:
        Followed.told = []
        self.tb_writer: Any = None
        self._take("__init__", None)

    def _take(self, name: str, what: Any) -> None:
        Followed.told.append((name, what))
        if name == self.broken:
            raise ConnectionError("no network")

    def on_train_begin(self, args: TrainingArguments, *_: Any, model: Any, **__: Any) -> None:
        self._take("begin", (args.run_name, args.project, model, self.tb_writer))

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self._take("log", logs)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._take("end", None)


@pytest.fixture(autouse=True)
def _integrations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(integrations, "INTEGRATION_TO_CALLBACK", dict.fromkeys(TRACKERS, Followed))
    monkeypatch.setattr(Followed, "broken", "")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tensorboard"))
    writer = lambda folder, purge_step: (folder, purge_step)  # noqa: E731
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=writer))


def train(folder: Path, told: list[AnyEvent], *before: AnyEvent) -> None:
    """The calls of a trainer, in its order, and a held-out evaluation after its end."""
    run = RunFolder(folder / "bold-fox")
    config = RunConfig(model="m", data="d", recipe=Recipe(report_to="tensorboard"))
    tracker = Tracker("tensorboard", Job(run, config, told.append, lambda: None))
    for event in before:
        tracker.emit(event)
    args = TrainingArguments(output_dir=str(folder), report_to="none", use_cpu=True)
    state, control = TrainerState(global_step=4), TrainerControl()
    callback = TrackerCallback(tracker, run)
    callback.on_train_begin(args, state, control, model="the model")
    callback.on_log(args, state, control, logs={"loss": 0.5})
    callback.on_train_end(args, state, control)
    tracker.emit(Evaluated(step=4, rows=16, accuracy=0.75, margin=0.5))
    tracker.close()


def test_transformers_has_an_integration_for_every_tracker() -> None:
    assert set(TRACKERS) <= set(integration_utils.INTEGRATION_TO_CALLBACK)


def test_steps_and_heldout_figures_are_handed_on_with_transformers_names(tmp_path: Path) -> None:
    told: list[AnyEvent] = []
    train(tmp_path, told)
    assert Followed.told == [
        ("__init__", None),
        ("begin", ("bold-fox", "kto-tui", "the model", None)),
        ("log", {"loss": 0.5}),
        ("log", {"eval_accuracy": 0.75, "eval_margin": 0.5}),
        ("end", None),
    ]
    assert [type(event) for event in told] == [Evaluated]


def test_tensorboard_forgets_the_steps_that_are_done_again(tmp_path: Path) -> None:
    train(tmp_path, [], Resumed(step=3))
    assert Followed.told[1] == ("begin", ("bold-fox", "kto-tui", "the model", (str(tmp_path / "tensorboard"), 4)))


@pytest.mark.parametrize("broken", ["__init__", "begin", "log", "end"])
def test_an_integration_that_fails_is_noted_once_and_left_alone(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[AnyEvent] = []
    monkeypatch.setattr(Followed, "broken", broken)
    train(tmp_path, told)
    notes = [event for event in told if isinstance(event, Noted)]
    assert [note.text for note in notes] == ["tensorboard is not followed any more (no network); the training goes on"]
    assert any(isinstance(event, Evaluated) for event in told)
    assert Followed.told[-1][0] == broken
