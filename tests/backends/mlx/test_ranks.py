"""Two processes on MLX's ring that share every window take the steps that one process takes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.backends.mlx.trainings import (
    RECIPE,
    adapters,
    mlx_model,
    mlx_trainer,
    relative,
    take_steps,
    uneven_windows,
)

ROOT = Path(__file__).parents[3]
METHODS = ("kto", "sft")


def free_ports() -> int:
    """The first of two neighbouring ports that nobody listens on."""
    for port in range(20_000 + os.getpid() % 20_000, 60_000, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports")


def test_two_ring_ranks_equal_one(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    launcher = str(Path(sys.executable).with_name("mlx.launch"))
    script = [str(Path(__file__).with_name("two_ranks.py")), str(checkpoint()), str(tmp_path), *METHODS]
    ring = ["-n", "2", "--backend", "ring", "--starting-port", str(free_ports())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [launcher, *ring, "--", sys.executable, *script],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for method in METHODS:
        recipe = msgspec.structs.replace(RECIPE, method=method, micro_batch=3)
        trainer = mlx_trainer(mlx_model(checkpoint(), recipe), uneven_windows(), recipe)
        alone = take_steps(trainer, 4)
        for rank in (0, 1):
            told = json.loads((tmp_path / f"{method}-{rank}.json").read_text(encoding="utf-8"))
            assert told["ranks"] == 2
            for one, log in zip(alone, told["steps"], strict=True):
                assert log == pytest.approx(one.logs, rel=1e-4, abs=5e-6)
            assert relative(adapters(trainer), dict(np.load(tmp_path / f"{method}-{rank}.npz"))) < 1e-4
