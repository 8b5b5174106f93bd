"""The short version of the fault benchmark: real runs are killed and their files torn, and nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_run_survives_kills_and_torn_files() -> None:
    seed = str(int.from_bytes(os.urandom(4)))
    faults = ["--kills", "2", "--tears", "1", "--only", "kills", "tears"]
    done = subprocess.run(
        [sys.executable, "benchmarks/faults.py", "--json", "--steps", "30", "--seed", seed, *faults],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert sum(one["times"] for one in found) == 3
    assert sum(one["losses"] for one in found) == 0
