"""A tracker gets the points of the curves and the held-out figures, and whatever befalls it the training goes on."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kto_tui import environment
from kto_tui.backends.base import Job
from kto_tui.backends.training.trackers import Tracker, tracked
from kto_tui.environment import TRACKERS
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe, field_named
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AnyEvent, Evaluated, Noted, Resumed
from kto_tui.runs.folder import RunFolder

SENT = ("train", 1, {"loss": 0.5})
HELDOUT = Evaluated(step=1, rows=16, accuracy=0.75, margin=0.5)


class Client:
    """Keeps what it is told; ``broken``: the call that fails."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.told: list[Any] = []

    def _take(self, name: str, *what: Any) -> None:
        self.told.append(what or name)
        if name == self.broken:
            raise ConnectionError("no network for canary0123\nat all")

    def open(self, name: str, resumed: int | None) -> "Client":
        self._take("open", name, resumed)
        return self

    def log(self, step: int, part: str, figures: Mapping[str, Any]) -> None:
        self._take("log", part, step, dict(figures))

    def close(self) -> None:
        self._take("close")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    monkeypatch.setattr(environment, "installed", lambda _package: "1.0")
    for name in ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RESUME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_LOG_MODEL", "end")
    monkeypatch.setenv("WANDB_WATCH", "all")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_API_KEY", "canary0123")

    def build(told: list[AnyEvent], tracker: str = "tensorboard") -> Job:
        recipe = Recipe(report_to=tracker)  # type: ignore[arg-type]
        config = RunConfig(model="m", data="d", recipe=recipe)
        return Job(RunFolder(tmp_path / "bold-fox"), config, told.append, lambda: None)

    return build


def train(job: Job, client: Client) -> None:
    """The calls of a backend, in their order, and a held-out evaluation after its end."""
    with tracked(job) as (one, tracker):
        assert tracker is not None
        tracker.begin(client.open)
        tracker.log(1, {"loss": 0.5})
        one.emit(HELDOUT)


def test_every_choice_of_the_recipe_is_a_tracker() -> None:
    assert {"none", *TRACKERS} == set(field_named("report_to").choices)


def test_without_a_tracker_nothing_is_touched(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_DIR")
    asked = job([], "none")
    with tracked(asked) as (same, tracker):
        assert same is asked
        assert tracker is None
    assert "WANDB_DIR" not in os.environ


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_told_before_anything_is_done(
    name: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "installed", lambda _package: None)
    with pytest.raises(UserError, match="is not installed") as caught, tracked(job([], name)):
        pytest.fail("nothing may begin")
    assert f"python -m pip install {name}" in str(caught.value)


def test_steps_and_heldout_figures_are_handed_on(job: Callable[..., Job]) -> None:
    told: list[AnyEvent] = []
    client = Client()
    train(job(told), client)
    figures = {"accuracy": 0.75, "margin": 0.5}
    assert client.told == [("tensorboard", None), SENT, ("eval", 1, figures), "close"]
    assert told == [HELDOUT]


def test_files_lie_in_the_run_and_the_model_is_never_sent(job: Callable[..., Job], tmp_path: Path) -> None:
    with tracked(job([], "wandb")):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "bold-fox" / "tensorboard")
        assert os.environ["WANDB_DIR"] == str(tmp_path / "bold-fox")
        assert (os.environ["WANDB_RUN_ID"], os.environ["WANDB_PROJECT"]) == ("bold-fox", "mine")
        assert os.environ["WANDB_LOG_MODEL"] == os.environ["WANDB_WATCH"] == "false"


@pytest.mark.parametrize(("broken", "calls"), [("open", 1), ("log", 2), ("close", 4)])
def test_a_tracker_that_fails_is_noted_once_without_its_key_and_left_alone(
    broken: str, calls: int, job: Callable[..., Job]
) -> None:
    told: list[AnyEvent] = []
    client = Client(broken)
    train(job(told), client)
    said = "tensorboard is not followed any more (no network for <WANDB_API_KEY>); the training goes on"
    assert [event.text for event in told if isinstance(event, Noted)] == [said]
    assert HELDOUT in told
    assert len(client.told) == calls


def test_a_training_that_fails_closes_its_tracker(job: Callable[..., Job]) -> None:
    client = Client()

    def fail() -> None:
        with tracked(job([])) as (_, tracker):
            assert tracker is not None
            tracker.begin(client.open)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert client.told[-1] == "close"


@pytest.mark.parametrize(("name", "expected"), [("tensorboard", [4, 5, 6]), ("trackio", [4, 5, 6]), ("wandb", [5, 6])])
def test_a_resumed_run_goes_on_where_the_tracker_is(
    name: str, expected: list[int], job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B has steps up to 5, training goes on after step 3."""
    summary = {"train/global_step": 5, "_step": 7}
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=SimpleNamespace(summary=summary)))
    client = Client()
    with tracked(job([], name)) as (one, tracker):
        one.emit(Resumed(step=3))
        assert tracker is not None
        tracker.begin(client.open)
        for step in (4, 5, 6):
            tracker.log(step, {"loss": 0.5})
    assert client.told == [(name, 3), *(("train", step, {"loss": 0.5}) for step in expected), "close"]


def test_a_new_run_of_an_old_name_is_sent_whole(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    summary = {"train/global_step": 500}
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=SimpleNamespace(summary=summary)))
    client = Client()
    train(job([], "wandb"), client)
    assert SENT in client.told


def test_what_comes_before_training_begins_is_not_sent(job: Callable[..., Job]) -> None:
    told: list[AnyEvent] = []
    one = Tracker("trackio", job(told, "trackio"))
    one.emit(HELDOUT)
    one.close()
    assert told == [HELDOUT]
