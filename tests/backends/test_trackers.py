"""A tracker gets what the trainer logs and the held-out figures, and whatever befalls it the training goes on."""

import os
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import integration_utils

from kto_tui.backends.base import Job
from kto_tui.backends.hf import trackers
from kto_tui.backends.hf.trackers import PACKAGES, Tracker, tracked
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe, field_named
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, Evaluated, Noted
from kto_tui.runs.folder import RunFolder


class Followed(TrainerCallback):
    """As Transformers' integrations are, but keeps what it is told; ``broken``: the call that fails."""

    broken = ""
    told: list[tuple[str, Any]]

    def __init__(self) -> None:
        Followed.told = []
        self._take("__init__", None)

    def _take(self, name: str, what: Any) -> None:
        Followed.told.append((name, what))
        if name == self.broken:
            raise ConnectionError("no network\nat all")

    def on_train_begin(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        self._take("begin", args.run_name)

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self._take("log", logs)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._take("end", None)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[AnyEvent]:
    monkeypatch.setattr(trackers, "INTEGRATION_TO_CALLBACK", dict.fromkeys(PACKAGES, Followed))
    monkeypatch.setattr(trackers, "installed", lambda _package: "1.0")
    monkeypatch.setattr(Followed, "broken", "")
    for name in ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RESUME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_LOG_MODEL", "end")
    monkeypatch.setenv("WANDB_WATCH", "all")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    return []


def job(folder: Path, told: list[AnyEvent], tracker: str = "tensorboard") -> Job:
    recipe = Recipe(report_to=tracker)  # type: ignore[arg-type]
    return Job(RunFolder(folder), RunConfig(model="m", data="d", recipe=recipe), told.append, lambda: None)


def train(one: Job, callbacks: list[Tracker], folder: Path) -> None:
    """The calls of a trainer, in its order, and a held-out evaluation after its end."""
    args = TrainingArguments(output_dir=str(folder), report_to="none", use_cpu=True)
    state, control = TrainerState(), TrainerControl()
    for callback in callbacks:
        callback.on_train_begin(args, state, control, model=None)
        callback.on_log(args, state, control, logs={"loss": 0.5})
        callback.on_train_end(args, state, control)
    one.emit(Evaluated(step=1, rows=16, accuracy=0.75, margin=0.5))


def test_every_choice_of_the_recipe_is_an_integration_of_transformers() -> None:
    assert {"none", *PACKAGES} == set(field_named("report_to").choices)
    assert set(PACKAGES) <= set(integration_utils.INTEGRATION_TO_CALLBACK)


def test_without_a_tracker_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    asked = job(tmp_path, [], "none")
    with tracked(asked) as (same, callbacks):
        assert same is asked
        assert callbacks == []
    assert "WANDB_DIR" not in os.environ


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_told_before_anything_is_done(name: str, tmp_path: Path) -> None:
    if trackers.installed(PACKAGES[name]) is not None:
        pytest.skip(f"{name} is installed here")
    with pytest.raises(UserError, match="is not installed") as caught, tracked(job(tmp_path, [], name)):
        pytest.fail("nothing may begin")
    assert f"python -m pip install {PACKAGES[name]}" in str(caught.value)


def test_steps_and_heldout_figures_are_handed_on(tmp_path: Path, told: list[AnyEvent]) -> None:
    folder = tmp_path / "bold-fox"
    with tracked(job(folder, told)) as (one, callbacks):
        train(one, callbacks, tmp_path)
    assert Followed.told == [
        ("__init__", None),
        ("begin", "bold-fox"),
        ("log", {"loss": 0.5}),
        ("log", {"eval_accuracy": 0.75, "eval_margin": 0.5}),
        ("end", None),
    ]
    assert told == [Evaluated(step=1, rows=16, accuracy=0.75, margin=0.5)]


def test_files_lie_in_the_run_and_the_model_is_never_sent(tmp_path: Path, told: list[AnyEvent]) -> None:
    with tracked(job(tmp_path / "bold-fox", told, "wandb")):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "bold-fox" / "tensorboard")
        assert os.environ["WANDB_DIR"] == str(tmp_path / "bold-fox")
        assert (os.environ["WANDB_RUN_ID"], os.environ["WANDB_PROJECT"]) == ("bold-fox", "mine")
        assert os.environ["WANDB_LOG_MODEL"] == os.environ["WANDB_WATCH"] == "false"


@pytest.mark.parametrize("broken", ["__init__", "begin", "log", "end"])
def test_a_tracker_that_fails_is_noted_once_and_left_alone(
    broken: str, tmp_path: Path, told: list[AnyEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Followed, "broken", broken)
    with tracked(job(tmp_path, told)) as (one, callbacks):
        train(one, callbacks, tmp_path)
    notes = [event for event in told if isinstance(event, Noted)]
    assert [note.text for note in notes] == ["tensorboard is not followed any more (no network); the training goes on"]
    assert any(isinstance(event, Evaluated) for event in told)
    assert Followed.told[-1][0] == broken


def test_a_training_that_fails_closes_its_tracker(tmp_path: Path, told: list[AnyEvent]) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)

    def fail() -> None:
        with tracked(job(tmp_path, told)) as (_, callbacks):
            callbacks[0].on_train_begin(args, TrainerState(), TrainerControl())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Followed.told[-1] == ("end", None)
