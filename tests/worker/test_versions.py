"""A run and its report name the versions of what trains it, and of nothing else that happens to be installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.folder import create_run
from kto_tui.runs.page import markdown
from kto_tui.runs.reading import Reading
from tests.worker.supervised import nothing_left, supervise

BOTH = {"python", "kto-tui", "transformers", "tokenizers"}
# bitsandbytes is not installed everywhere.
ALONE = {"hf": {"torch", "trl", "peft", "datasets", "accelerate"}, "mlx": {"mlx", "mlx-lm", "safetensors"}}


@pytest.fixture(autouse=True)
def no_orphans(home: Path) -> Iterator[None]:
    with nothing_left(home):
        yield


@pytest.mark.parametrize("backend", ALONE)
def test_the_report_lists_the_packages_of_the_backend_that_trained(backend: str) -> None:
    run = create_run(RunConfig(model="org/name", data="starter", recipe=Recipe(), backend=backend))
    assert supervise(run, "finish").wait(60) == 0, run.log_tail(20)
    one = Reading(run)
    one.read()
    told = {line.split("|")[1].strip().replace("\\", "") for line in markdown(one, "c.svg").splitlines() if "|" in line}
    assert told >= BOTH | ALONE[backend]
    assert not told & ALONE["mlx" if backend == "hf" else "hf"]


def test_a_run_whose_configuration_cannot_be_read_names_python_alone() -> None:
    run = create_run(RunConfig(model="org/name", data="starter", recipe=Recipe()))
    run.config.write_text("backend = 1", encoding="utf-8")
    supervise(run, "finish").wait(60)
    started = run.read_state().started
    assert started is not None, run.log_tail(20)
    assert set(started.versions) == {"python"}
