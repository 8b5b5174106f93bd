"""A run on MLX tells TensorBoard, Trackio and W&B what it records, under the names of Transformers' integrations."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kto_tui import environment
from kto_tui.backends.base import Job
from kto_tui.backends.mlx.trackers import Followed, TensorBoard
from kto_tui.backends.mlx.train import train
from kto_tui.backends.training import answers
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, Ended, Evaluated, Noted, StepCompleted
from kto_tui.runs.folder import RunFolder, create_run
from tests.tiny import make_rows, write_jsonl

RECIPE: dict[str, Any] = {
    "steps": 3, "effective_batch": 4, "micro_batch": 4, "max_length": 64, "precision": "fp32", "learning_rate": 5e-3,
}  # fmt: skip
SETTINGS, MODEL = {"learning_rate": 5e-3, "micro_batch": 2}, {"model_type": "llama"}


class Package:
    """What the packages trackio and wandb are called with, each run's keyword arguments and each log."""

    def __init__(self) -> None:
        self.began: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.metrics: list[str] = []
        self.logs: list[dict[str, Any]] = []
        self.finished = 0

    def init(self, **about: Any) -> Any:
        self.began.append(about)
        return SimpleNamespace(config=self, define_metric=self.define_metric, log=self.log)

    def update(self, config: dict[str, Any], *, allow_val_change: bool) -> None:
        assert allow_val_change
        self.config = config

    def define_metric(self, name: str, **_: Any) -> None:
        self.metrics.append(name)

    def log(self, figures: dict[str, Any]) -> None:
        self.logs.append(figures)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def package(checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Package:
    checkpoint()  # accelerate, which this imports, looks for the real packages
    package = Package()
    monkeypatch.setattr(environment, "installed", lambda _package: "1.0")
    monkeypatch.setattr(answers, "MAX_NEW_TOKENS", 2)
    for name in ("trackio", "wandb"):
        monkeypatch.setitem(sys.modules, name, package)  # type: ignore[arg-type]
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    return package


@pytest.fixture
def trained(checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[[Recipe], tuple[RunFolder, list[AnyEvent]]]:
    def run(recipe: Recipe) -> tuple[RunFolder, list[AnyEvent]]:
        rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(32))
        config = RunConfig(model=str(checkpoint()), data=str(rows), recipe=recipe, backend="mlx")
        folder, told = create_run(config), list[AnyEvent]()
        assert train(Job(folder, config, told.append, lambda: None)) is None
        return folder, told

    return run


def test_trackio_is_told_what_the_run_records(
    package: Package, trained: Callable[[Recipe], tuple[RunFolder, list[AnyEvent]]]
) -> None:
    run, told = trained(Recipe(**RECIPE, report_to="trackio"))
    (about,) = package.began
    assert (about["project"], about["name"], about["resume"]) == ("kto-tui", run.id, "allow")
    assert about["config"]["learning_rate"] == 5e-3
    assert about["config"]["model_type"] == "llama"
    assert about["config"]["model/num_parameters"] > 0
    points = [event for event in told if isinstance(event, StepCompleted)]
    (heldout,) = (event for event in told if isinstance(event, Evaluated))
    *steps, last = package.logs
    assert [step["train/global_step"] for step in steps] == [point.step for point in points] == [1, 2, 3]
    for step, point in zip(steps, points, strict=True):
        assert step["train/loss"] == point.loss
        assert step["train/kl"] == point.kl
        assert step.get("train/rewards/margins") == point.margin
        assert step["train/rewards/accuracies"] == point.accuracy
        assert step["train/epoch"] == point.epoch
        assert step["train/tokens"] == point.tokens
    assert last["train/global_step"] == 3
    assert (last["eval/accuracy"], last["eval/margin"]) == (heldout.accuracy, heldout.margin)
    assert package.finished == 1


def test_a_tracker_that_cannot_begin_ends_no_training(
    package: Package, trained: Callable[[Recipe], tuple[RunFolder, list[AnyEvent]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    run, told = trained(Recipe(**RECIPE, report_to="trackio", method="sft"))
    assert (run.adapter / "adapter_model.safetensors").is_file()
    notes = [event.text for event in told if isinstance(event, Noted) and "trackio" in event.text]
    assert len(notes) == 1
    assert notes[0].endswith("the training goes on")
    assert not any(isinstance(event, Ended) for event in told)


def test_wandb_has_the_runs_name_and_settings_and_the_step_as_axis(package: Package, tmp_path: Path) -> None:
    client = Followed(RunFolder(tmp_path / "bold-fox"), SETTINGS, MODEL, 7).open("wandb", 3)
    client.log(4, "train", {"loss": 0.5})
    client.log(4, "eval", {"loss": 0.25})
    client.close()
    assert package.began == [{"project": "mine", "name": "bold-fox"}]
    assert package.config == {**SETTINGS, **MODEL, "model/num_parameters": 7}
    assert package.metrics == ["train/global_step", "*"]
    assert package.logs == [
        {"train/loss": 0.5, "train/global_step": 4},
        {"eval/loss": 0.25, "train/global_step": 4},
    ]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    followed = Followed(RunFolder(tmp_path), SETTINGS, MODEL, 7)
    for resumed, steps in ((None, (1, 2, 3, 4)), (2, (3, 4, 5))):
        client = TensorBoard(followed, resumed)
        for step in steps:
            client.log(step, "train", {"loss": 1 / step, "rewards/margins": float("nan")})
        client.log(steps[-1], "eval", {"accuracy": 0.75})
        client.close()
    found = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    scalars = [(each.step, each.value) for each in found.Scalars("train/loss")]
    assert scalars == [(step, float(np.float32(1 / step))) for step in (1, 2, 3, 4, 5)]
    assert [each.step for each in found.Scalars("eval/accuracy")] == [5]
    assert found.Tags()["scalars"] == ["train/loss", "train/rewards/margins", "eval/accuracy"]
    assert found.Tags()["tensors"] == ["args/text_summary", "model_config/text_summary"]
    text = found.Tensors("args/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"micro_batch": 2' in text


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes into an event file, without the package tensorboard."""
    events: list[Any] = []
    writer = lambda folder: SimpleNamespace(  # noqa: E731
        add_event=events.append, flush=lambda: None, close=lambda: events.append(folder)
    )
    summary = type("Summary", (SimpleNamespace,), {"Value": SimpleNamespace})
    session = type("SessionLog", (SimpleNamespace,), {"START": 1})
    protos = {
        "event_pb2": SimpleNamespace(Event=SimpleNamespace, SessionLog=session),
        "summary_pb2": SimpleNamespace(Summary=summary),
    }
    modules: dict[str, Any] = {
        "tensorboard.compat.proto": SimpleNamespace(**protos),
        "tensorboard.plugins.text.metadata": SimpleNamespace(create_summary_metadata=SimpleNamespace),
        "tensorboard.summary.writer.event_file_writer": SimpleNamespace(EventFileWriter=writer),
        "tensorboard.util.tensor_util": SimpleNamespace(make_tensor_proto=list),
    }
    for name, module in modules.items():
        for number in range(1, name.count(".") + 1):
            monkeypatch.setitem(sys.modules, ".".join(name.split(".")[:number]), SimpleNamespace())  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, name, module)
    return events


def test_an_event_file_begins_with_what_to_forget(written: list[Any], tmp_path: Path) -> None:
    client = Followed(RunFolder(tmp_path), SETTINGS, MODEL, 7).open("tensorboard", 2)
    client.log(3, "train", {"loss": 0.5})
    client.close()
    forget, *texts, point, folder = written
    assert (forget.step, forget.session_log.status) == (3, 1)
    assert [text.summary.value[0].tag for text in texts] == ["args/text_summary", "model_config/text_summary"]
    (value,) = point.summary.value
    assert (point.step, value.tag, value.simple_value) == (3, "train/loss", 0.5)
    assert folder == str(tmp_path / "tensorboard")
