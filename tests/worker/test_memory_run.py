"""A real training process whose memory runs out: it makes do with smaller packs, or leaves it to its supervisor."""

import sys
from collections.abc import Callable

import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.events import Ended, MemoryRanOut, StepCompleted
from kto_tui.runs.folder import RunFolder, create_run
from tests.forked import tiny_model, worker
from tests.tiny import make_rows, write_jsonl
from tests.worker.supervised import events_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process maps")
BEGUN = ('"training_started"',)
MIB = 2**20


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], RunFolder]:
    folder = tmp_path_factory.mktemp("places")
    rows = make_rows(96)
    for row in rows:
        row["completion"] = [{"role": "assistant", "content": "the cat sat on the mat " * 30}]
    model, data = tiny_model(folder / "model"), write_jsonl(folder / "rows.jsonl", rows)
    values = {"effective_batch": 64, "micro_batch": 64, "max_length": 256, "steps": 1, "precision": "fp32"}

    def build() -> RunFolder:
        request = RunRequest(model=str(model), data=str(data), overrides=values)
        return create_run(to_config(from_request(request, detect())))

    return build


def losses(run: RunFolder) -> list[float | None]:
    return [event.loss for event in events_of(run) if isinstance(event, StepCompleted)]


def test_a_limit_halves_the_rows_at_a_time_and_changes_no_step(new_run: Callable[[], RunFolder]) -> None:
    roomy, tight = new_run(), new_run()
    assert worker(roomy) == 0, roomy.log_tail(20)
    assert worker(tight, faults={BEGUN: 128 * MIB}) == 0, tight.log_tail(20)
    assert roomy.read_state().adjustments == ()
    changes = tight.read_state().adjustments
    assert changes, "the limit was felt"
    packs = [change for change in changes if change.name == "micro_batch"]
    assert [change.before for change in packs] == [64 // 2**i for i in range(len(packs))]
    assert all(change.by == "recovery" and change.because.startswith("memory ran out") for change in changes)
    assert losses(tight) == pytest.approx(losses(roomy), abs=1e-5)
    assert (tight.adapter / "adapter_model.safetensors").exists()


def test_what_no_pack_is_small_enough_for_is_left_to_the_supervisor(new_run: Callable[[], RunFolder]) -> None:
    run = new_run()
    assert worker(run, faults={BEGUN: 1 * MIB}) == 1, run.log_tail(20)
    events = events_of(run)
    assert isinstance(events[-1], MemoryRanOut), events[-1]
    assert events[-1].proof == "exception"
    assert not any(isinstance(event, Ended) for event in events)
    assert not run.adapter.exists()
