"""Several runs, one device: they train one after the other in the order of asking, whatever happens to one of them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kto_tui.hardware import Gpu
from kto_tui.hardware.sources import Sources
from kto_tui.paths import data_home
from kto_tui.runs.control import Request, request
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import Ended, PhaseEntered, Queued
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import ask
from kto_tui.runs.lock import hold
from kto_tui.worker.child_environment import Device, device_of, one_gpu, training_gpu
from kto_tui.worker.device_queue import DeviceQueue
from tests.worker.supervised import events_of, new_run, nothing_left, supervise, wait

CPU = Device("cpu", "cpu")


@pytest.fixture(autouse=True)
def no_orphans(home: Path) -> Iterator[None]:
    with nothing_left(home):
        yield


def trains(run: RunFolder) -> None:
    wait(run, lambda state: (state.phase or "").startswith("wait"))


def holders(run: RunFolder) -> list[str | None]:
    return [event.holder for event in events_of(run) if isinstance(event, Queued)]


def test_three_runs_train_one_after_the_other_in_the_order_of_asking() -> None:
    first, second, third = runs = [new_run() for _ in range(3)]
    processes = [supervise(first, "wait")]
    trains(first)
    for before, run in ((first, second), (first, third)):
        processes.append(supervise(run, "wait"))
        state = wait(run, lambda state: state.queued)
        assert run.status(state) == "queued"
        assert state.queued is not None
        assert (state.queued.device, state.queued.holder) == ("cpu", before.id)
        assert state.phase is None, "nothing heavy has begun"
    assert ask(first, "stop")
    trains(second)
    wait(third, lambda state: state.queued and state.queued.holder == second.id)
    assert ask(second, "stop")
    trains(third)
    assert third.status(third.read_state()) != "queued"
    assert ask(third, "pause")
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert [holders(run) for run in runs] == [[], [first.id], [first.id, second.id]]
    began = [next(e.t for e in events_of(run) if isinstance(e, PhaseEntered)) for run in runs]
    ended = [next(e.t for e in events_of(run) if isinstance(e, Ended)) for run in runs]
    assert ended[0] <= began[1] <= ended[1] <= began[2]


def test_a_killed_holder_frees_the_device_when_its_training_is_gone_too() -> None:
    first, second = new_run(), new_run()
    holder = supervise(first, "wait")
    trains(first)
    (training,) = psutil.Process(holder.pid).children()
    supervise(second, "wait")
    wait(second, lambda state: state.queued)
    training.suspend()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert first.alive() is False
    assert DeviceQueue(CPU).runs() == [first.id, second.id], "its training still has the device"
    training.resume()
    trains(second)
    assert not training.is_running() or training.status() == psutil.STATUS_ZOMBIE
    assert ask(second, "stop")


@pytest.mark.parametrize(
    ("action", "checkpoint", "reason"),
    [("stop", False, "stopped"), ("stop", True, "paused"), ("abort", True, "stopped"), ("pause", False, "paused")],
)
def test_a_run_that_waits_hears_what_it_is_asked(action: str, checkpoint: bool, reason: str) -> None:
    place = DeviceQueue(CPU).join("other")
    run = new_run()
    if checkpoint:
        (run.checkpoints / "checkpoint-7").mkdir(parents=True)
    waiting = supervise(run, "wait")
    wait(run, lambda state: state.queued)
    request(run.control, Request(action=action))  # type: ignore[arg-type]
    assert waiting.wait(30) == 0
    state = run.read_state()
    assert state.ended is not None
    assert (state.ended.reason, run.status(state)) == (reason, reason)
    assert ("kto-tui resume" in state.ended.message) == (reason == "paused")
    assert DeviceQueue(CPU).runs() == ["other"]
    place.leave()
    assert DeviceQueue(CPU).runs() == []


def test_sigterm_in_the_queue_ends_it() -> None:
    place = DeviceQueue(CPU).join("other")
    run = new_run()
    waiting = supervise(run, "wait")
    wait(run, lambda state: state.queued)
    waiting.terminate()
    assert waiting.wait(30) == 0
    assert run.status(run.read_state()) == "stopped"
    place.leave()


def test_tickets_of_the_dead_are_removed() -> None:
    queue = DeviceQueue(CPU)
    alive = queue.join("alive")
    folder = data_home() / "devices" / "cpu"
    (folder / "7").write_text("dead")
    assert queue.join("new")
    assert queue.runs() == ["alive", "new"]
    assert sorted(path.name for path in folder.iterdir()) == ["1", "8", "order"]
    alive.leave()
    assert queue.runs() == ["new"]
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0, 0], "private"


def test_a_queue_that_cannot_be_kept_is_a_note_and_no_end(home: Path) -> None:
    (home / "devices").write_text("a file where a folder should be")
    run = new_run()
    assert supervise(run, "finish").wait(30) == 0
    state = run.read_state()
    assert run.status(state) == "finished"
    assert any("the queue cannot be kept" in getattr(note, "text", "") for note in state.notes)


def test_the_lock_of_a_run_lasts_until_its_training_is_gone() -> None:
    run = new_run()
    holder = supervise(run, "wait")
    trains(run)
    (training,) = psutil.Process(holder.pid).children()
    training.suspend()
    holder.kill()
    holder.wait()
    assert hold(run.lock) is None
    training.resume()
    training.wait(30)
    descriptor = hold(run.lock, wait_seconds=5)
    assert descriptor is not None
    os.close(descriptor)


def test_a_run_goes_on_while_the_processes_of_its_last_word_still_leave() -> None:
    run = new_run()
    writer = EventWriter(run.events)
    writer.write(Ended(reason="paused"))
    writer.close()
    leaving = hold(run.lock)
    assert leaving is not None
    process = supervise(run, "finish")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    os.close(leaving)
    assert process.wait(30) == 0
    assert run.status(run.read_state()) == "finished"


def gpu(index: int, free: int, total: int = 80) -> Gpu:
    return Gpu(index=index, name="H100", kind="cuda", total_bytes=total, free_bytes=free, uuid=f"GPU-{index}")


def test_a_run_takes_an_idle_gpu_as_large_before_it_waits() -> None:
    best, twin, small = gpu(0, 79), gpu(1, 78), gpu(2, 20, total=24)
    gpus = [best, twin, small]
    assert training_gpu([]) is None
    assert training_gpu(gpus) == best
    assert training_gpu(gpus, [best]) == twin
    assert training_gpu(gpus, [best, twin]) == best, "a smaller one might not hold what was planned"
    environment, remark = one_gpu({}, gpus, twin)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert remark == "3 GPUs found; this run uses GPU 1, which no other run has"


def test_devices_are_told_apart(tmp_path: Path) -> None:
    nowhere = Sources(root=tmp_path, system="Linux", machine="x86_64")
    assert device_of(gpu(3, 1), nowhere) == ("GPU-3", "GPU 3")
    assert device_of(None, nowhere) == ("cpu", "cpu")
    assert device_of(None, Sources(root=tmp_path, system="Darwin", machine="arm64")) == ("mps", "mps")
