"""A real training under a real memory limit: the kernel kills it, and it finishes with half the rows per pass."""

import subprocess
import sys
from pathlib import Path

import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.events import MemoryRanOut
from kto_tui.runs.folder import create_run
from tests.tiny import make_rows, write_jsonl
from tests.worker.supervised import ROOT, events_of, memory_group, nothing_left, supervise

pytestmark = pytest.mark.proof
# 64 rows of 768 tokens take about 1.2 GB with everything beside them, 32 take 0.95 GB.
LIMIT_BYTES = 1_050_000_000
RECIPE = {"effective_batch": 64, "micro_batch": 64, "max_length": 768, "steps": 1, "precision": "fp32"}


def test_a_training_that_the_kernel_kills_finishes_one_rung_lower(home: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.tiny", str(home / "model")], check=True, capture_output=True, cwd=ROOT)
    rows = make_rows(128)
    for row in rows:
        row["completion"] = [{"role": "assistant", "content": "the cat sat on the mat " * 200}]
    data = write_jsonl(home / "rows.jsonl", rows)
    values = {**RECIPE, "heldout_share": 0.0}
    request = RunRequest(model=str(home / "model"), data=str(data), overrides=values)
    run = create_run(to_config(from_request(request, detect())))
    with nothing_left(home), memory_group(LIMIT_BYTES) as enter:
        process = supervise(run, before=enter)
        assert process.wait(600) == 0, run.log_tail()
    state = run.read_state()
    assert run.status(state) == "finished"
    assert state.step == 1
    assert [(one.name, one.before, one.after) for one in state.adjustments] == [("micro_batch", 64, 32)]
    assert [one.proof for one in events_of(run) if isinstance(one, MemoryRanOut)] == ["kernel"]
    assert (run.adapter / "adapter_model.safetensors").exists()
