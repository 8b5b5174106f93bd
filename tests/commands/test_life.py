"""Resume, pause, stop, delete, set, mark: the commands and what they call, on real processes."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kto_tui.errors import UserError
from kto_tui.runs import launch
from kto_tui.runs.control import ControlReader
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import (
    CheckpointSaved,
    Ended,
    GaugesRead,
    Queued,
    WorkerStarted,
)
from kto_tui.runs.folder import RunFolder, died_runs, likely_cause, list_runs, resumable, without_a_word
from kto_tui.runs.identity import Identity, own_identity, write_identity
from kto_tui.runs.lock import hold
from kto_tui.worker.child_environment import Device
from kto_tui.worker.device_queue import DeviceQueue
from tests.worker.supervised import events_of, new_run, nothing_left, supervise, wait


@pytest.fixture(autouse=True)
def no_orphans(home: Path) -> Iterator[None]:
    with nothing_left(home):
        yield


def kto(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kto_tui", *args]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


def left_by(identity: Identity | None, last: Ended | None = None) -> RunFolder:
    """A run whose supervisor is gone."""
    run = new_run()
    writer = EventWriter(run.events)
    writer.write(WorkerStarted(host="h", pid=1))
    writer.write(CheckpointSaved(step=20, path=str(run.checkpoints / "checkpoint-20"), size_bytes=1))
    (run.checkpoints / "checkpoint-20").mkdir(parents=True)
    if last is not None:
        writer.write(last)
    writer.close()
    if identity is not None:
        write_identity(run.identity, identity)
    return run


def gone(**changes: str) -> Identity:
    return msgspec.structs.replace(own_identity(), start="0", **changes)  # type: ignore[arg-type]


ENDS = {
    "paused": (Ended(reason="paused"), True),
    "failed": (Ended(reason="failed"), True),
    "died": (None, True),
    "finished": (Ended(reason="finished"), False),
    "stopped": (Ended(reason="stopped"), True),
}


@pytest.mark.parametrize("word", ENDS)
def test_what_can_go_on_and_what_not(word: str) -> None:
    last, goes_on = ENDS[word]
    run = left_by(gone(), last)
    state = run.read_state()
    assert run.status(state) == word
    assert resumable(run, state) == goes_on
    if not goes_on:
        with pytest.raises(UserError, match=f"{run.id} is {word}: there is nothing to go on with") as caught:
            launch.resume(run)
        assert str(run.config) in caught.value.mend
        assert not run.control.exists(), "nothing was asked of it"


def test_a_run_of_another_host_is_left_alone() -> None:
    run = left_by(gone(host="elsewhere"))
    for refuse in (launch.resume, launch.delete):
        with pytest.raises(UserError, match=f"{run.id} belongs to elsewhere"):
            refuse(run)
    assert run.config.exists()


def test_a_run_that_lives_is_neither_resumed_nor_deleted() -> None:
    run = new_run()
    supervise(run, "wait")
    wait(run, lambda state: (state.phase or "").startswith("wait"))
    with pytest.raises(UserError, match="is already starting"):
        launch.resume(run)
    with pytest.raises(UserError, match="is not over") as caught:
        launch.delete(run)
    assert f"kto-tui stop {run.id}" in caught.value.mend
    second = new_run()
    supervise(second, "wait")
    wait(second, lambda state: state.queued)
    with pytest.raises(UserError, match=f"is already queued behind {run.id}"):
        launch.resume(second)
    for one in (second, run):
        assert kto("pause", one.id).returncode == 0
        assert wait(one, lambda state: state.ended).ended


def test_pause_stop_and_mark_reach_the_run_and_say_what_follows() -> None:
    run = new_run()
    supervise(run, "wait")
    wait(run, lambda state: (state.phase or "").startswith("wait"))
    marked, changed = kto("mark", run.id, "new data"), kto("set", run.id, "log_every", "5")
    assert (marked.returncode, changed.returncode) == (0, 0), marked.stderr + changed.stderr
    reader = ControlReader(run.control)
    assert reader.marks() == ["new data"]
    assert reader.settings == {"log_every": 5}
    done = kto("pause", run.id)
    assert done.returncode == 0
    assert f"kto-tui resume {run.id}" in done.stdout
    assert wait(run, lambda state: state.ended).ended is not None
    assert run.control.stat().st_mode & 0o077 == 0
    for again in (("pause",), ("stop",), ("stop", "--abort"), ("mark", "late")):
        refused = kto(again[0], run.id, *again[1:])
        assert refused.returncode == 2
        assert f"{run.id} is not running (paused)" in refused.stderr


def test_a_setting_of_a_paused_run_waits_for_it_and_a_bad_one_is_refused() -> None:
    run = left_by(gone(), Ended(reason="paused"))
    assert "when it goes on" in kto("set", run.id, "learning_rate_scale", "0.5").stdout
    assert ControlReader(run.control).latest() is None
    refused = kto("set", run.id, "learning_rate_scale", "11")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "at most 10" in refused.stderr
    assert kto("set", left_by(gone(), Ended(reason="finished")).id, "log_every", "2").returncode == 2


def test_resume_forgets_what_ended_it_and_says_who_has_the_device(home: Path) -> None:
    run = left_by(gone(), Ended(reason="paused"))
    place = DeviceQueue(Device("cpu", "cpu")).join("swift-otter")
    run.control.write_text('{"action":"pause"}\n{"acti')
    done = kto("resume", run.id, "--detach")
    assert done.returncode == 0, done.stderr
    assert "queued behind swift-otter on cpu" in done.stdout
    assert f"kto-tui attach {run.id}" in done.stdout
    state = run.read_state()
    assert run.status(state) == "queued"
    assert ControlReader(run.control).latest() is None
    assert isinstance(events_of(run)[-1], Queued)
    assert kto("stop", run.id).stdout == f"{run.id} leaves the queue\n"
    wait(run, lambda state: state.ended)
    place.leave()
    assert run.status(run.read_state()) == "paused", "its checkpoint is kept"


def test_a_resumed_run_is_followed_from_where_it_was() -> None:
    """The model is none, so it fails at once, with a sentence and exit code 2."""
    run = left_by(gone(), Ended(reason="failed", message="the first failure"))
    done = kto("resume", run.id)
    assert done.returncode == 2, done
    assert "the first failure" not in done.stdout + done.stderr
    assert "org/name" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_reboot_is_told_from_a_kill() -> None:
    rebooted, killed, never = left_by(gone(boot="another")), left_by(gone()), left_by(None)
    killed.log.write_text("loading\nMemoryError: no\n\n")
    assert likely_cause(rebooted) == "the machine was rebooted"
    assert likely_cause(killed) == "supervisor and training were killed; its log ends with: MemoryError: no"
    assert likely_cause(never) == "its supervisor never came up"
    assert without_a_word([rebooted]) == (
        f"{rebooted.id} ended without a word: the machine was rebooted. "
        f"Go on after step 20 with: kto-tui resume {rebooted.id}"
    )
    left_by(gone(), Ended(reason="finished"))
    after = left_by(gone(), Ended(reason="finished"))
    writer = EventWriter(after.events)
    writer.write(GaugesRead(cpu_percent=1.0))
    writer.close()
    again = left_by(gone(), Ended(reason="paused"))
    writer = EventWriter(again.events)
    writer.write(WorkerStarted(host="h", pid=2))
    writer.close()
    assert {run.id for run in died_runs()} == {rebooted.id, killed.id, never.id, again.id}
    shutil.rmtree(again.path)
    done = kto("runs")
    assert done.stdout.splitlines()[-1].startswith("3 runs ended without a word (")
    assert "kto-tui resume" in done.stdout


def test_delete_asks_and_removes_all() -> None:
    run, kept = left_by(gone(), Ended(reason="finished")), left_by(gone(), Ended(reason="finished"))
    refused = kto("delete", run.id)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert run.config.exists()
    for answer, left in ((b"n\n", 2), (b"y\n", 1)):
        master, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "kto_tui", "delete", run.id], stdin=terminal, stdout=terminal, close_fds=True
        )
        os.close(terminal)
        os.write(master, answer)
        assert process.wait(60) == 0
        os.close(master)
        assert len(list_runs()) == left
    assert kto("delete", kept.id, "--yes").returncode == 0
    assert list(kept.path.parent.iterdir()) == []


def test_delete_waits_for_a_training_that_still_saves_and_sweeps_what_a_crash_left() -> None:
    run = left_by(gone(), Ended(reason="failed"))
    half = run.path.with_name(".old-fox.1.deleted")
    half.mkdir()
    (half / "run.toml").write_text("")
    assert [one.id for one in list_runs()] == [run.id], "what is being deleted is no run"
    training = hold(run.lock)
    assert training is not None
    with pytest.raises(UserError, match="is not over"):
        launch.delete(run)
    os.close(training)
    launch.delete(run)
    assert list(half.parent.iterdir()) == []
