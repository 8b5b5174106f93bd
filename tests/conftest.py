"""Every test gets a home of its own, and nothing asks the network."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kto_tui.runs import launch

# Two OpenMP threads that spin for each other make a tiny model crawl on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: the machines that run the tests are shared, and a slow example is no failure.
settings.register_profile("kto-tui", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kto-tui")


def pytest_collection_finish() -> None:
    """What was imported need not be looked through for garbage in every test: a fifth of the time of some."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Whoever started runs that outlive it has asked how they are."""
    for process in launch._started:
        process.poll()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder kto-tui keeps its runs and models in."""
    monkeypatch.setenv("KTO_TUI_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path
