"""What ``pip install 'kto-tui[mlx]'`` brings to a Mac with Apple Silicon, asked of the package index."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof
PROGRAM = Path(__file__).with_name("mac_resolution.py")
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
TORCHY = {"torch", "trl", "peft", "accelerate", "bitsandbytes", "datasets"}


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_every_package_has_a_wheel_for_a_mac_and_none_is_torch(python: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, PROGRAM, python, report], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["environment"]["sys_platform"] == "darwin"
    brought = {one["metadata"]["name"].lower().replace("_", "-"): one for one in found["install"]}
    assert {"mlx", "mlx-lm", "mlx-metal", "transformers"} <= brought.keys()
    assert not TORCHY & brought.keys()
    metal = brought["mlx-metal"]["download_info"]["url"].rpartition("/")[2]
    assert metal.endswith("macosx_14_0_arm64.whl"), metal
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert brought.keys() <= pinned, "constraints.txt names every one of them"
    for name, one in sorted(brought.items()):
        print(name, one["metadata"]["version"])
