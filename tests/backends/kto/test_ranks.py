"""Two processes that share every window take the steps one process takes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.backends.kto.conftest import COMPARED, GRADIENT_TOLERANCE, Bench, record

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
MICRO_BATCHES = ("8", "1")
ROOT = Path(__file__).parents[3]


def test_two_gloo_ranks_equal_one(bench: Callable[..., Bench], checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = [str(Path(__file__).with_name("two_ranks.py")), str(checkpoint()), str(tmp_path), *MICRO_BATCHES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CI": "1"}
    done = subprocess.run(
        [*command, *script], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    it = bench(rows=43)
    assert len(it.prepared.windows[-1]) == 3, "an odd last window, shared two to one"
    alone = record(it.exact(8, arguments={"num_train_epochs": 2, "max_grad_norm": 0.0}))
    for micro_batch in MICRO_BATCHES:
        logs = json.loads((tmp_path / f"steps-{micro_batch}.json").read_text(encoding="utf-8"))
        gradients = torch.load(tmp_path / f"gradients-{micro_batch}.pt")
        assert len(logs) == len(alone) == 12
        for one, log, gradient in zip(alone, logs, gradients, strict=True):
            assert log["loss"] == pytest.approx(one.logs["loss"], abs=1e-5)
            assert float((gradient - one.gradient).norm() / one.gradient.norm()) < GRADIENT_TOLERANCE
            for name in (*COMPARED, "num_tokens"):
                assert (name in log) == (name in one.logs)
                if name in log:
                    assert log[name] == pytest.approx(one.logs[name], rel=1e-4, abs=2e-4), (micro_batch, name)
