"""The worker as a real subprocess: it trains, stops, is killed, outlives its terminal, and says how it ended."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from kto_tui.catalog import resolve
from kto_tui.draft import from_request, to_config
from kto_tui.hardware import Gpu, detect
from kto_tui.memory.measured import speeds
from kto_tui.runs.config import RunConfig, RunRequest, load_config
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import StepCompleted
from kto_tui.runs.folder import RunFolder, create_run, find_run, resumable
from kto_tui.runs.identity import read_identity
from kto_tui.runs.launch import ask, resume, start
from kto_tui.runs.state import RunState
from kto_tui.speed import effort, flops_per_token, run_tokens
from kto_tui.worker.child_environment import one_gpu, returns_memory
from tests.forked import worker
from tests.tiny import make_rows, write_jsonl

PATIENCE_SECONDS = 120.0
ROOT = Path(__file__).parents[2]
LOAD_WITH_PLAIN_PEFT = """
import sys
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
assert AutoTokenizer.from_pretrained(sys.argv[1])("the cat")["input_ids"]
print(max(p.abs().max().item() for name, p in model.named_parameters() if "lora_B" in name))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    subprocess.run([sys.executable, "-m", "tests.tiny", str(folder)], check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    def build(**overrides: object) -> RunConfig:
        rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(80))
        values = {"effective_batch": 4, "micro_batch": 2, "max_length": 64, **overrides}
        request = RunRequest(model=str(tiny), data=str(rows), overrides=values)
        return to_config(from_request(request, detect()))

    return build


@pytest.fixture(autouse=True)
def no_orphans(tmp_path: Path) -> Iterator[None]:
    yield
    marker = str(tmp_path)
    left = [p for p in psutil.process_iter(["cmdline"]) if any(marker in part for part in p.info["cmdline"] or [])]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def wait(run: RunFolder, until: Callable[[RunState], bool]) -> RunState:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        state = run.read_state()
        if until(state):
            return state
        time.sleep(0.1)
    pytest.fail(f"waited in vain; log:\n{chr(10).join(run.log_tail(30))}")


def wait_gone(run: RunFolder) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.alive()


def train_alone(config: RunConfig) -> tuple[RunFolder, RunState]:
    """Of the training process itself, without a supervisor."""
    run = create_run(config)
    worker(run)
    return run, run.read_state()


def steps_of(run: RunFolder) -> list[StepCompleted]:
    tail, found = Tail(run.events), list[StepCompleted]()
    while events := tail.read():
        found += [event for event in events if isinstance(event, StepCompleted)]
    return found


def trainer_of(run: RunFolder) -> psutil.Process:
    identity = read_identity(run.identity)
    assert identity is not None
    children = psutil.Process(identity.pid).children()
    assert len(children) == 1
    return children[0]


def test_a_whole_run_trains_evaluates_answers_and_saves_a_loadable_adapter(
    config: Callable[..., RunConfig], tiny: Path
) -> None:
    run = start(config(steps=6, eval_every=3, save_every=3, learning_rate=5e-3))
    state = wait(run, lambda s: s.ended is not None)
    wait_gone(run)
    assert state.ended is not None
    assert state.ended.reason == "finished", state.ended
    assert run.status(state) == "finished"
    steps = steps_of(run)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    assert all(step.loss is not None and step.tokens and step.tokens_per_second for step in steps)
    assert steps[0].loss == pytest.approx(0.5, abs=1e-3), "policy equals reference at first"
    assert [evaluation.step for evaluation in state.evaluations] == [3, 6]
    assert state.evaluations[-1].rows == 16
    assert [sample.step for sample in state.samples] == [0, 6]
    assert [checkpoint.step for checkpoint in state.checkpoints] == [3, 6]
    assert state.gauges is not None
    assert state.gauges.process_bytes is not None
    assert "transformers" in (state.started.versions if state.started else {})
    assert (run.path.stat().st_mode & 0o077) == 0, "runs are private"
    assert "Adapter of run" in (run.adapter / "README.md").read_text()
    (measured,) = speeds(detect().device_name)
    rates = [step.tokens_per_second or 0.0 for step in steps[1:]]
    model, recipe = resolve(str(tiny)), load_config(run.config).recipe
    per_token = flops_per_token(model, recipe)
    assert per_token is not None
    assert measured.run == run.id
    assert min(rates) * 0.99 <= measured.flops / per_token <= max(rates) * 1.01
    later = effort(model, recipe, detect(), 100, 10.0)
    assert later is not None
    assert later.seconds == pytest.approx(run_tokens(recipe, 100, 10.0) * per_token / measured.flops)
    assert "measured in 1 run here" in str(later)
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_PLAIN_PEFT, str(run.adapter)], capture_output=True, text=True, check=True
    )
    assert float(loaded.stdout.split()[-1]) > 0, "training changed the adapter"
    done = subprocess.run(
        [sys.executable, "-m", "kto_tui", "runs", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    (listed,) = msgspec.json.decode(done.stdout)
    keys = {"id", "state", "step", "total_steps", "loss", "tokens_per_second", "started", "ended", "reason", "path"}
    assert keys <= set(listed)
    assert (listed["id"], listed["state"]) == (run.id, "finished")
    assert listed["ended"] >= listed["started"]


def test_qlora_nf4_trains_on_this_machine(config: Callable[..., RunConfig]) -> None:
    run, state = train_alone(config(steps=2, quantization="nf4"))
    assert state.ended is not None
    assert state.ended.reason == "finished", (state.ended, run.log_tail(20))
    assert state.step == 2
    assert not speeds(detect().device_name), "two steps say nothing of a machine's speed"
    assert (run.adapter / "adapter_model.safetensors").exists()
    settings = json.loads((run.adapter / "adapter_config.json").read_text())
    assert settings["peft_type"] == "LORA"


def test_apo_loss_and_plain_text_rows_train(tiny: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "plain.jsonl", make_rows(60, chat=False))
    values = {"loss_type": "apo_zero_unpaired", "effective_batch": 4, "micro_batch": 4, "steps": 2, "max_length": 64}
    request = RunRequest(model=str(tiny), data=str(rows), overrides=values)
    run, state = train_alone(to_config(from_request(request, detect())))
    assert state.ended is not None
    assert state.ended.reason == "finished", (state.ended, run.log_tail(20))


def test_stop_request_saves_the_adapter_and_ends(config: Callable[..., RunConfig]) -> None:
    run = start(config(steps=5000))
    wait(run, lambda s: s.step >= 2)
    assert ask(run, "stop")
    state = wait(run, lambda s: s.ended is not None)
    wait_gone(run)
    assert state.ended is not None
    assert state.ended.reason == "stopped"
    assert state.adapter is not None
    assert (run.adapter / "adapter_model.safetensors").exists()
    assert not ask(run, "stop"), "nobody is there any more"


def test_stop_after_training_keeps_what_was_saved_and_says_so(tiny: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(80))
    held = write_jsonl(tmp_path / "held.jsonl", make_rows(3000, seed=1))
    values = {"effective_batch": 4, "micro_batch": 2, "max_length": 64, "steps": 1}
    request = RunRequest(model=str(tiny), data=str(rows), heldout=str(held), overrides=values)
    run = start(to_config(from_request(request, detect())))
    wait(run, lambda s: s.phase == "scoring the held-out rows")
    assert ask(run, "stop")
    state = wait(run, lambda s: s.ended is not None)
    assert state.adapter is not None
    assert state.ended is not None
    assert "saved" in state.ended.message
    assert "nothing" not in state.ended.message


def test_a_relative_home_works(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = config(steps=1, log_every=100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KTO_TUI_HOME", "relative")
    run = start(frozen)
    state = wait(run, lambda s: s.ended is not None)
    assert state.ended is not None
    assert state.ended.reason == "finished", state.ended
    assert [step.step for step in steps_of(run)] == [1], "the last step is logged whatever the interval"
    assert run.path.is_relative_to(tmp_path / "relative")


def test_sigterm_to_the_supervisor_is_stop_and_save(config: Callable[..., RunConfig]) -> None:
    run = start(config(steps=5000))
    wait(run, lambda s: s.step >= 1)
    identity = read_identity(run.identity)
    assert identity is not None
    os.kill(identity.pid, signal.SIGTERM)
    state = wait(run, lambda s: s.ended is not None)
    assert state.ended is not None
    assert state.ended.reason == "stopped"
    assert state.adapter is not None


def test_sigkill_of_the_supervisor_leaves_no_orphan_and_the_run_goes_on_where_it_was(
    config: Callable[..., RunConfig],
) -> None:
    run = start(config(steps=5000))
    wait(run, lambda s: s.step >= 1)
    trainer = trainer_of(run)
    identity = read_identity(run.identity)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    state = wait(run, lambda s: s.ended is not None)
    assert state.ended is not None
    assert run.status(state) == "paused"
    assert "The supervisor was gone" in state.ended.message
    assert resumable(run, state)
    trainer.wait(timeout=30)
    saved = run.newest_checkpoint()
    assert saved is not None
    assert saved >= 1
    resume(run)
    state = wait(run, lambda s: s.step >= saved + 1)
    assert state.resumed is not None
    assert state.resumed.step == saved
    assert ask(run, "abort")
    wait(run, lambda s: s.ended is not None)


def test_sigkill_of_the_trainer_in_the_middle_of_a_line_is_reported_not_guessed(
    config: Callable[..., RunConfig],
) -> None:
    run = start(config(steps=5000))
    wait(run, lambda s: s.step >= 1)
    trainer_of(run).send_signal(signal.SIGSTOP)
    with run.events.open("ab") as file:
        file.write(b'{"kind":"step_completed","t":1,"ste')
    trainer_of(run).kill()
    state = wait(run, lambda s: s.ended is not None)
    wait_gone(run)
    assert state.ended is not None, "the event after the torn line is whole"
    assert state.ended.reason == "failed"
    assert "SIGKILL" in state.ended.message
    assert state.ended.cause == "killed"
    assert state.adjustments == ()
    assert run.status(state) == "failed"


def test_bad_rows_found_by_the_tokenizer_end_with_a_sentence(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(80)
    for row in rows[:20]:
        row["prompt"] = [{"role": "user", "content": "the cat sat " * 60}]
    path = write_jsonl(tmp_path / "long.jsonl", rows)
    values = {"max_length": 64, "steps": 2, "effective_batch": 4, "micro_batch": 4}
    request = RunRequest(model=str(tiny), data=str(path), overrides=values)
    _, state = train_alone(to_config(from_request(request, detect())))
    assert state.ended is not None
    assert state.ended.reason == "failed"
    assert state.ended.bad_input
    assert "max_length" in state.ended.message
    assert f"{path}:" in state.ended.message
    assert "Traceback" not in state.ended.message


def test_rows_of_one_label_after_the_length_limit_end_with_a_sentence(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(80)
    for row in rows:
        if not row["label"]:
            row["completion"] = [{"role": "assistant", "content": "the cat sat " * 60}]
    path = write_jsonl(tmp_path / "long.jsonl", rows)
    values = {"max_length": 64, "steps": 2, "effective_batch": 4, "long_rows": "skip"}
    _, state = train_alone(
        to_config(from_request(RunRequest(model=str(tiny), data=str(path), overrides=values), detect()))
    )
    assert state.ended is not None
    assert state.ended.bad_input
    assert "all have the label True" in state.ended.message


def test_a_few_long_prompts_are_left_out_with_a_note(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(80)
    rows[7]["prompt"] = [{"role": "user", "content": "the cat sat " * 60}]
    path = write_jsonl(tmp_path / "long.jsonl", rows)
    values = {"max_length": 64, "steps": 1, "effective_batch": 4, "micro_batch": 4, "heldout_share": 0}
    request = RunRequest(model=str(tiny), data=str(path), overrides=values)
    _, state = train_alone(to_config(from_request(request, detect())))
    assert state.data is not None
    assert state.data.dropped_rows == 1
    assert any(f"{path}:8" in getattr(note, "text", "") for note in state.notes)


def test_a_second_supervisor_of_the_same_run_gives_way_and_abort_saves_nothing(
    config: Callable[..., RunConfig],
) -> None:
    run = start(config(steps=5000))
    wait(run, lambda s: s.step >= 1)
    second = subprocess.run(
        [sys.executable, "-m", "kto_tui.worker.supervisor", str(run.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "another worker" in second.stderr
    assert ask(run, "abort")
    state = wait(run, lambda s: s.ended is not None)
    wait_gone(run)
    assert state.adapter is None
    assert not run.adapter.exists()
    assert not list(run.path.glob(".adapter*"))


def test_hang_up_of_the_terminal_leaves_the_training_running(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """A shell on a real pty starts the run, then the pty closes: SIGHUP goes to its whole session."""
    file = tmp_path / "run.toml"
    frozen = config(steps=5000)
    from kto_tui.runs.config import to_toml

    file.write_text(to_toml(frozen))
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "kto_tui", "train", str(file)])  # noqa: S606
    seen = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while b"step 2/" not in seen and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            seen += os.read(master, 65536)
    os.close(master)
    os.waitpid(pid, 0)
    run = find_run("last")
    at = run.read_state().step
    state = wait(run, lambda s: s.step >= at + 3)
    assert run.status(state) == "running"
    assert ask(run, "abort")
    wait(run, lambda s: s.ended is not None)


def test_several_gpus_are_narrowed_to_one_and_it_is_said() -> None:
    def gpu(index: int, free: int, uuid: str | None = None) -> Gpu:
        return Gpu(index=index, name="NVIDIA H100", kind="cuda", total_bytes=80, free_bytes=free, uuid=uuid)

    environment, remark = one_gpu({}, [gpu(0, 10), gpu(1, 70)])
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert remark is not None
    assert "GPU 1" in remark
    assert one_gpu({}, [gpu(0, 10)]) == ({}, None)
    environment, remark = one_gpu({"CUDA_VISIBLE_DEVICES": "2,3"}, [])
    assert environment["CUDA_VISIBLE_DEVICES"] == "2"
    assert remark is not None


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_training_on_processors_returns_memory_that_was_freed() -> None:
    """Small tensors that stay hold the holes of freed ones open in an ordinary heap."""
    code = """
import psutil, torch
torch.ones(20 * 2**18)  # glibc learns from a large block that is freed to keep such blocks
before = psutil.Process().memory_info().rss
freed, kept = [], []
for _ in range(60):
    freed.append(torch.ones(5 * 2**18))
    kept.append(torch.ones(2**14))
del freed
print(psutil.Process().memory_info().rss - before)
"""

    def left(environment: dict[str, str]) -> int:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    returned, held = left(returns_memory(usual)), left(usual)
    assert returned < 50 * 2**20 < 200 * 2**20 < held, (returned, held)
    assert returns_memory({"MALLOC_MMAP_THRESHOLD_": "1"})["MALLOC_MMAP_THRESHOLD_"] == "1"


def test_of_the_gpus_one_asked_for_the_run_takes_the_planners() -> None:
    asked = [
        Gpu(index=2, name="NVIDIA H100", kind="cuda", total_bytes=80, free_bytes=10, uuid="GPU-2"),
        Gpu(index=3, name="NVIDIA H100", kind="cuda", total_bytes=80, free_bytes=70, uuid="GPU-3"),
    ]
    environment, remark = one_gpu({"CUDA_VISIBLE_DEVICES": "2,3"}, asked)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-3"
    assert remark is not None
    assert "GPU 3" in remark
    assert one_gpu({"CUDA_VISIBLE_DEVICES": "2"}, asked[:1]) == ({"CUDA_VISIBLE_DEVICES": "2"}, None)
