"""How a training process can end, and what the supervisor makes of it: a relaunch only where memory is proven short."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kto_tui.hardware.cgroup import oom_kills
from kto_tui.hardware.sources import Sources
from kto_tui.runs.events import Adjusted, MemoryRanOut, Noted, PhaseEntered
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import MAX_RELAUNCHES
from kto_tui.runs.state import RunState
from tests.worker.stand_in import ROW_BYTES
from tests.worker.supervised import events_of, memory_group, new_run, nothing_left, supervise

LIMIT_BYTES = 3 * ROW_BYTES + 40 * 1024**2  # three rows and the interpreters beside them, not four


@pytest.fixture(autouse=True)
def no_orphans(home: Path) -> Iterator[None]:
    with nothing_left(home):
        yield


def ended(run: RunFolder) -> RunState:
    state = run.read_state()
    assert state.ended is not None, run.log_tail()
    return state


def told(run: RunFolder, kind: type) -> list[object]:
    return [event for event in events_of(run) if isinstance(event, kind)]


def test_a_kill_for_lack_of_memory_starts_again_one_rung_lower_and_finishes() -> None:
    run = new_run(micro_batch=4, effective_batch=16)
    with memory_group(LIMIT_BYTES) as enter:
        assert supervise(run, "allocate", before=enter).wait(60) == 0
    state = ended(run)
    assert run.status(state) == "finished"
    (shortage,) = told(run, MemoryRanOut)
    assert isinstance(shortage, MemoryRanOut)
    assert shortage.proof == "kernel"
    assert "number 1" in shortage.message
    (change,) = state.adjustments
    assert (change.name, change.before, change.after, change.by) == ("micro_batch", 4, 2, "recovery")
    assert "effective batch stays 16" in change.because
    phases = [event.phase for event in events_of(run) if isinstance(event, PhaseEntered)]
    assert phases[1:] == ["allocate 4", "allocate 2"]


# As it is told in issue reports of MLX; no Mac has said it here.
METAL = (
    "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution "
    "failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"
)


def test_an_abort_over_metals_memory_starts_again_one_rung_lower_and_finishes() -> None:
    run = new_run(micro_batch=4, effective_batch=16)
    assert supervise(run, "abort", "2", METAL).wait(60) == 0
    state = ended(run)
    assert run.status(state) == "finished"
    (shortage,) = told(run, MemoryRanOut)
    assert isinstance(shortage, MemoryRanOut)
    assert (shortage.proof, shortage.message) == ("exception", METAL)
    assert [(change.name, change.after) for change in state.adjustments] == [("micro_batch", 2)]


def test_an_abort_over_something_else_is_a_crash() -> None:
    run = new_run(micro_batch=4, effective_batch=16)
    run.log.write_text(METAL + "\n", encoding="utf-8")  # by an earlier process
    assert supervise(run, "abort", "2", "libc++abi: terminating").wait(60) != 0
    last = ended(run).ended
    assert last is not None
    assert last.cause == "crashed"
    assert not told(run, MemoryRanOut)


def test_a_plain_sigkill_is_reported_and_waits_for_a_person() -> None:
    run = new_run()
    (run.checkpoints / "checkpoint-30").mkdir(parents=True)
    (run.checkpoints / "checkpoint-7").mkdir()
    assert supervise(run, "die", "SIGKILL").wait(60) == 1
    state = ended(run)
    assert state.ended is not None
    assert (state.ended.reason, state.ended.cause, state.adjustments) == ("failed", "killed", ())
    assert "SIGKILL" in state.ended.message
    assert ("not for lack of memory" in state.ended.message) == (oom_kills(Sources()) is not None)
    assert f"Go on after step 30 with: kto-tui resume {run.id}." in state.ended.message
    assert len([one for one in events_of(run) if isinstance(one, PhaseEntered) and one.phase.startswith("die")]) == 1


SIGNALS = {
    "SIGBUS": ("crashed", "/dev/shm"),
    "SIGSEGV": ("crashed", "not in Python"),
    "SIGABRT": ("crashed", "gave up"),
    "SIGILL": ("crashed", "instruction"),
    "SIGTERM": ("killed", "before it could listen"),
    "SIGUSR1": ("killed", "from outside"),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_each_signal_has_its_sentence(name: str) -> None:
    run = new_run()
    assert supervise(run, "die", name).wait(60) == 1
    last = ended(run).ended
    assert last is not None
    cause, words = SIGNALS[name]
    assert last.cause == cause
    assert name in last.message
    assert words in last.message
    assert f"Begin it again with: kto-tui resume {run.id}." in last.message
    assert str(run.log) in last.message


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_without_a_word_is_no_good_end(code: int) -> None:
    run = new_run()
    supervise(run, "exit", code).wait(60)
    last = ended(run).ended
    assert last is not None
    assert (last.reason, last.cause) == ("failed", "crashed")
    assert f"exit code {code}" in last.message


def test_the_whole_ladder_with_the_rows_a_shorter_length_cuts() -> None:
    run = new_run(micro_batch=2, effective_batch=8, max_length=1024)
    assert supervise(run, "raise", 512).wait(60) == 0
    state = ended(run)
    assert run.status(state) == "finished"
    changes = [(one.name, one.before, one.after) for one in state.adjustments]
    assert changes == [("micro_batch", 2, 1), ("gradient_checkpointing", False, True), ("max_length", 1024, 512)]
    assert all(one.because for one in state.adjustments)
    order = [type(one) for one in events_of(run) if isinstance(one, MemoryRanOut | Adjusted)]
    assert order == [MemoryRanOut, Adjusted] * 3
    notes = [event.text for event in events_of(run) if isinstance(event, Noted)]
    assert "the shorter max_length cuts 8 of 100 rows (before: 4) and drops 0 (before: 0)" in notes


def test_when_nothing_is_left_to_lower_it_says_so() -> None:
    run = new_run(micro_batch=1, gradient_checkpointing=True, max_length=300)
    assert supervise(run, "raise", 16).wait(60) == 1
    last = ended(run).ended
    assert last is not None
    assert (last.reason, last.cause) == ("failed", "out_of_memory")
    assert "tried 256 tokens" in last.message
    assert "smaller model" in last.message
    assert f"kto-tui resume {run.id}" in last.message


def test_it_gives_up_after_so_many_times_and_goes_on_from_there_when_asked() -> None:
    run = new_run(micro_batch=256, effective_batch=256, max_length=1024)
    assert supervise(run, "raise", 16).wait(60) == 1
    state = ended(run)
    assert state.ended is not None
    assert len(state.adjustments) == MAX_RELAUNCHES
    assert f"lowering the settings {MAX_RELAUNCHES} times" in state.ended.message
    assert state.adjustments[-1].after == 256 // 2**MAX_RELAUNCHES
    assert supervise(run, "allocate").wait(60) == 0
    phases = [event.phase for event in events_of(run) if isinstance(event, PhaseEntered)]
    assert phases[-1] == f"allocate {state.adjustments[-1].after}"


def test_nothing_a_run_writes_is_for_others_and_no_secret_is_in_it(home: Path) -> None:
    run = new_run()
    secrets = {"HF_TOKEN": "hf_secretsecret", "WANDB_API_KEY": "wandbsecretsecret"}
    process = supervise(run, "finish", **secrets)
    arguments = Path(f"/proc/{process.pid}/cmdline").read_text() if Path("/proc").is_dir() else ""
    assert process.wait(60) == 0
    os.umask(before := os.umask(0o077))
    assert before != 0o077, "or this test says nothing"
    for path in (home / "runs").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        content = path.read_text() if path.is_file() else ""
        assert not any(secret in content + arguments for secret in secrets.values()), path


def test_sigterm_to_the_supervisor_reaches_the_training() -> None:
    run = new_run()
    process = supervise(run, "wait")
    while run.read_state().phase != "wait 4":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert run.status(ended(run)) == "stopped"
