"""When a checkpoint is due, and a disk that does not take it: noted once, tried again, never the end of a training."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kto_tui.backends.base import Job
from kto_tui.backends.training import saving
from kto_tui.backends.training.intervals import Intervals
from kto_tui.backends.training.resume import Facts
from kto_tui.backends.training.saving import Saver
from kto_tui.recipe import Recipe
from kto_tui.runs.checkpoints import newest_valid
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action
from kto_tui.runs.events import AnyEvent, CheckpointSaved, Noted
from kto_tui.runs.folder import RunFolder

FACTS = Facts(versions={}, fingerprints={"windows": "w"}, recipe={})


class Bench:
    """A saver whose disk and whose person the test plays."""

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder / "run")
        self.run.path.mkdir()
        self.asked: Action | None = None
        self.error: BaseException | None = None
        self.told: list[AnyEvent] = []
        self.intervals = Intervals.of(Recipe(save_every=4))
        config = RunConfig(model="m", data="d", recipe=Recipe(save_total_limit=2))
        job = Job(self.run, config, self.told.append, lambda: self.asked)
        self.saver = Saver(job, self.write, lambda: 1000, FACTS, 8, None, self.intervals)

    def write(self, folder: Path) -> None:
        (folder / "state.bin").write_bytes(b"state")
        if self.error is not None:
            raise self.error

    def notes(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Noted)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.0)
    return Bench(tmp_path)


def test_what_is_due(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    saver = bench.saver
    assert [step for step in range(1, 10) if saver.due(step, ending=False)] == [4, 8]
    assert saver.due(5, ending=True), "the last step is always kept"
    bench.asked = "pause"
    assert saver.due(5, ending=False)
    bench.asked = "stop"
    assert not saver.due(5, ending=False)
    bench.asked = "abort"
    assert not saver.due(4, ending=True), "an abort keeps nothing"
    bench.asked, bench.intervals.save_every = None, None
    assert not saver.due(4, ending=False)
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    assert saver.due(5, ending=False)


def test_the_newest_are_kept_with_their_place_in_the_epoch(bench: Bench) -> None:
    for step in (4, 8, 12):
        assert not bench.saver.save(step, 20, ending=False)
    assert [event.step for event in bench.told if isinstance(event, CheckpointSaved)] == [4, 8, 12]
    assert len(list(bench.run.checkpoints.iterdir())) == 2
    found, remarks = newest_valid(bench.run)
    assert found is not None
    manifest = found.manifest
    assert (manifest.step, manifest.total_steps, manifest.epoch, manifest.window) == (12, 20, 1, 4)
    assert remarks == []


def test_a_pause_ends_the_training_once_nothing_can_be_lost(bench: Bench) -> None:
    bench.asked, bench.error = "pause", OSError(28, "No space left on device")
    assert not bench.saver.save(3, 20, ending=False)
    assert not bench.saver.paused
    assert "cannot pause yet" in bench.notes()[0]
    assert bench.saver.due(4, ending=False), "it tries again"
    bench.error = None
    assert bench.saver.save(4, 20, ending=False)
    assert bench.saver.paused


def test_a_disk_that_takes_nothing_is_noted_once_and_leaves_nothing(bench: Bench) -> None:
    bench.saver.save(2, 20, ending=False)
    bench.error = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    for step in (4, 5, 6):
        assert not bench.saver.save(step, 20, ending=False)
    (note,) = bench.notes()
    assert "the newest one is of step 2. Training goes on" in note
    assert len(list(bench.run.checkpoints.iterdir())) == 1


def test_another_fault_passes_and_leaves_nothing(bench: Bench) -> None:
    bench.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        bench.saver.save(4, 20, ending=False)
    assert not list(bench.run.checkpoints.iterdir())
    assert bench.told == []


def test_facts_come_back_as_they_were(bench: Bench) -> None:
    bench.saver.save(4, 20, ending=True)
    found, _ = newest_valid(bench.run)
    assert found is not None
    assert msgspec.structs.astuple(FACTS) == (
        found.manifest.versions,
        found.manifest.fingerprints,
        found.manifest.recipe,
    )
