"""A stand-in for the hub that every process of a test asks, and a cache of the test's own."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.standin import Hub, Repo, running

ROOT = Path(__file__).parents[2]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    subprocess.run([sys.executable, "-m", "tests.tiny", str(folder)], check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def big(hub: Hub) -> Repo:
    """Not a model that loads, but files enough to be cut in the middle: acme/big, 4 MB of weights."""
    files = {"config.json": b"{}", "tokenizer.json": b"{}", WEIGHTS: random.Random(0).randbytes(4_000_000)}
    hub.repos["acme/big"] = Repo(files)
    return hub.repos["acme/big"]
