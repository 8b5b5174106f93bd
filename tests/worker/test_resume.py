"""Killed, paused, robbed of its checkpoints or of its disk: a run that goes on ends with the same bits."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.control import Request, request
from kto_tui.runs.events import (
    CheckpointSaved,
    Resumed,
    Sampled,
    StepCompleted,
)
from kto_tui.runs.folder import RunFolder, create_run
from tests.forked import tiny_model, worker
from tests.tiny import make_rows, write_jsonl
from tests.worker.outcome import ended, result, told
from tests.worker.supervised import events_of

STEPS = 20  # 8 windows an epoch: two and a half epochs
CASES: dict[str, dict[str, object]] = {
    "kto": {"micro_batch": 2, "log_every": 3, "save_every": 4},
    "apo": {"micro_batch": 4, "loss_type": "apo_zero_unpaired"},
    "nf4": {"micro_batch": 2, "log_every": 3, "quantization": "nf4", "steps": 9},
}


def steps_of(case: str) -> int:
    return int(str(CASES[case].get("steps", STEPS)))


KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model and a data file."""
    folder = tmp_path_factory.mktemp("places")
    return tiny_model(folder / "model"), write_jsonl(folder / "rows.jsonl", make_rows(48))


@pytest.fixture(scope="module")
def new_run(places: tuple[Path, Path]) -> Callable[..., RunFolder]:
    def build(case: str, **values: object) -> RunFolder:
        usual = {"effective_batch": 4, "max_length": 64, "steps": STEPS, "precision": "fp32", "learning_rate": 5e-3}
        overrides = usual | CASES[case] | values
        model, rows = places
        return create_run(
            to_config(from_request(RunRequest(model=str(model), data=str(rows), overrides=overrides), detect()))
        )

    return build


@pytest.fixture(scope="module")
def whole(new_run: Callable[..., RunFolder], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], object]:
    """What each case's run comes to when nothing happens to it."""
    known: dict[str, object] = {}

    def find(case: str) -> object:
        if case not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("KTO_TUI_HOME", str(tmp_path_factory.mktemp("home")))
                run = new_run(case)
                assert worker(run) == 0, run.log_tail(20)
                known[case] = result(run)
        return known[case]

    return find


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random().randrange(len(content))] ^= 1 << random.Random().randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("case", ["apo", "nf4"])
def test_killed_at_any_step_and_resumed_it_is_bit_identical(
    case: str, new_run: Callable[..., RunFolder], whole: Callable[[str], object]
) -> None:
    run = new_run(case, save_every=random.Random().randint(1, 4))
    step = random.Random().choice(range(6, steps_of(case), 3))
    assert worker(run, faults={('"step_completed"', f'"step":{step},'): "kill"}) == KILLED
    assert worker(run) == 0, run.log_tail(20)
    assert result(run) == whole(case)
    assert any(isinstance(event, Resumed) and event.path for event in events_of(run))


def test_a_life_of_faults_ends_with_the_same_bits(
    new_run: Callable[..., RunFolder], whole: Callable[[str], object]
) -> None:
    run = new_run("kto")
    # Killed in the middle of a log interval, right after checkpoint 8; that one is damaged: back to 4.
    assert worker(run, faults={('"checkpoint_saved"', '"step":8'): "kill"}) == KILLED
    damage(random.Random().choice(sorted((run.checkpoints / "checkpoint-8").iterdir())))
    # On from there, and paused at 13, between the points at 12 and 15.
    assert worker(run, faults={('"checkpoint_saved"', '"step":12'): "pause"}) == 0, run.log_tail(20)
    assert ended(run) == ("paused", f"Paused after step 13; go on with: kto-tui resume {run.id}")
    assert "Skipped checkpoint-8: " in told(run)
    assert not run.adapter.exists()
    # Gone on, and killed when all steps are done but nothing is scored.
    request(run.control, Request(action="run"))
    assert worker(run, faults={('"phase_entered"', "scoring"): "kill"}) == KILLED
    # What is left is done, and paused once more before the answers.
    assert worker(run, faults={('"evaluated"', f'"step":{STEPS}'): "pause"}) == 0
    assert ended(run)[0] == "paused"
    request(run.control, Request(action="run"))
    assert worker(run) == 0, run.log_tail(20)
    assert ended(run) == ("finished", "")
    assert result(run) == whole("kto")
    events = events_of(run)
    assert [event.step for event in events if isinstance(event, Resumed)] == [4, 13, STEPS, STEPS]
    assert [event.step for event in events if isinstance(event, Sampled)] == [0, STEPS // 2, STEPS], (
        "nothing asked twice"
    )
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["checkpoint-16", "checkpoint-20"]
    assert not list(run.path.glob(".*"))


def test_without_one_good_checkpoint_it_begins_anew_and_says_so(
    new_run: Callable[..., RunFolder], whole: Callable[[str], object]
) -> None:
    run = new_run("kto")
    request(run.control, Request(action="pause"))
    assert worker(run) == 0
    assert ended(run) == ("paused", f"Paused before training began; go on with: kto-tui resume {run.id}")
    request(run.control, Request(action="run"))
    assert worker(run, faults={('"step_completed"', '"step":9,'): "kill"}) == KILLED
    for folder in run.checkpoints.iterdir():
        (folder / "optimizer.pt").unlink()
    assert worker(run) == 0, run.log_tail(20)
    assert [(event.step, event.path) for event in events_of(run) if isinstance(event, Resumed)] == [(0, None)]
    assert "Skipped checkpoint-4: optimizer.pt is missing" in told(run)
    assert result(run) == whole("kto")


def test_saves_by_the_clock_change_nothing(new_run: Callable[..., RunFolder], whole: Callable[[str], object]) -> None:
    run = new_run("apo", save_total_limit=3)
    assert worker(run, save_seconds=0.0) == 0, run.log_tail(20)
    saved = [event.step for event in events_of(run) if isinstance(event, CheckpointSaved)]
    assert saved == list(range(1, STEPS + 1))
    assert {path.name for path in run.checkpoints.iterdir()} == {f"checkpoint-{step}" for step in (18, 19, 20)}
    assert result(run) == whole("apo")


def test_a_disk_that_takes_no_checkpoint_ends_no_training_and_no_pause_loses_steps(
    new_run: Callable[..., RunFolder], whole: Callable[[str], object]
) -> None:
    run = new_run("kto")
    faults = {('"step_completed"', '"step":9,'): "pause"}
    # The adapter fits, the optimizer's state does not.
    assert worker(run, largest_file_bytes=200_000, faults=faults) == 0, run.log_tail(20)
    assert "The checkpoint could not be written" in told(run)
    assert "there is none yet. Training goes on and tries again every 30 seconds" in told(run)
    assert told(run).count("could not be written") == 2, "each story once"
    assert not list(run.checkpoints.iterdir()), "nothing half-written"
    assert ended(run)[0] == "paused"
    assert f"Paused after step {STEPS}, of which only the first 0 are in a checkpoint" in ended(run)[1]
    curves, _, _, adapter = whole("kto")  # type: ignore[misc]
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == adapter
    assert [event.step for event in events_of(run) if isinstance(event, StepCompleted)] == list(curves)


def test_what_has_changed_is_refused_and_what_recovery_changes_is_not(
    new_run: Callable[..., RunFolder], places: tuple[Path, Path], tmp_path: Path
) -> None:
    run = new_run("kto")
    assert worker(run, faults={('"checkpoint_saved"', '"step":8'): "kill"}) == KILLED
    config = run.config.read_text()
    other = write_jsonl(tmp_path / "other.jsonl", make_rows(48, seed=1))
    refused = {
        "The data has changed since the checkpoint of step 8 was written": config.replace(str(places[1]), str(other)),
        "(learning_rate was 0.005 and is 0.006)": config.replace("0.005", "0.006"),
    }
    for sentence, changed in refused.items():
        run.config.write_text(changed)
        assert worker(run) == 1
        assert ended(run)[0] == "failed"
        assert sentence in ended(run)[1]
        assert "Put it back as it was and resume" in ended(run)[1]
    run.config.write_text(config.replace("micro_batch = 2", "micro_batch = 1").replace("= 64", "= 40"))
    assert worker(run) == 0, run.log_tail(20)
    assert "Rows are cut to 40 tokens now, 64 before; training goes on at batch 1 of the epoch" in told(run)
    assert run.read_state().step == STEPS
