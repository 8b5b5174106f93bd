"""A real training process that is asked for changes while it trains, killed, and resumed with them in force."""

from collections.abc import Callable

import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.control import Request, Setting
from kto_tui.runs.events import (
    Adjusted,
    CheckpointSaved,
    Evaluated,
    Marked,
    Noted,
    Resumed,
    Sampled,
    StepCompleted,
)
from kto_tui.runs.folder import RunFolder, create_run
from tests.forked import tiny_model, worker
from tests.tiny import make_rows, write_jsonl
from tests.worker.supervised import events_of

RATE = 5e-3
NEVER = 1_000_000
PROMPT = "why is the cat red"


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    folder = tmp_path_factory.mktemp("places")
    model, rows = tiny_model(folder / "model"), write_jsonl(folder / "rows.jsonl", make_rows(48))

    def build(**values: object) -> RunFolder:
        usual = {"effective_batch": 4, "micro_batch": 4, "max_length": 64, "precision": "fp32", "steps": 16}
        rate = {"learning_rate": RATE, "schedule": "constant", "eval_every": NEVER, "sample_every": NEVER}
        request = RunRequest(model=str(model), data=str(rows), overrides=usual | rate | values)
        return create_run(to_config(from_request(request, detect())))

    return build


def put(name: str, value: Setting) -> Request:
    return Request(action="set", name=name, value=value)


def after(step: int) -> tuple[str, str]:
    return '"step_completed"', f'"step":{step},'


def test_changes_asked_for_while_it_trains_hold_and_outlive_the_process(new_run: Callable[..., RunFolder]) -> None:
    run = new_run()
    # What is asked for with step 2 on record is heard when step 3 is done.
    asked: dict[tuple[str, str], Request | str] = {
        ('"training_started"', ""): put("learning_rate_scale", 0.5),
        after(1): Request(action="mark", text="here it begins"),
        after(2): put("sample_prompts", (PROMPT,)),
        after(3): put("eval_every", 2),
        after(4): put("save_every", 4),
        after(5): put("log_every", 0),
        after(6): put("learning_rate_scale", 0.1),
        ('"checkpoint_saved"', '"step":8,'): "kill",
    }
    assert worker(run, faults=asked) < 0
    later = {
        after(9): put("log_every", 3),
        ('"evaluated"', '"step":10,'): put("sample_every", 12),
        ('"evaluated"', '"step":12,'): put("stop_after", 13),
    }
    assert worker(run, faults=later) == 0, run.log_tail(20)
    events, state = events_of(run), run.read_state()

    assert state.ended is not None
    assert (state.ended.reason, state.step) == ("finished", 13)
    assert state.ended.message == "Ended after step 13 of 16, as asked with stop_after 13"
    assert (run.adapter / "adapter_model.safetensors").exists()
    assert [(one.step, one.path is not None) for one in events if isinstance(one, Resumed)] == [(8, True)]
    assert [(one.name, one.before, one.after, one.because) for one in state.adjustments] == [
        ("learning_rate_scale", 1.0, 0.5, "asked for at step 0"),
        ("sample_prompts", (), (PROMPT,), "asked for at step 3"),
        ("eval_every", NEVER, 2, "asked for at step 4"),
        ("save_every", None, 4, "asked for at step 5"),
        ("learning_rate_scale", 0.5, 0.1, "asked for at step 7"),
        ("log_every", 1, 3, "asked for at step 10"),
        ("sample_every", NEVER, 12, "asked for at step 11"),
        ("stop_after", None, 13, "asked for at step 13"),
    ]
    assert all(one.by == "person" for one in state.adjustments)
    assert [one for one in events if isinstance(one, Noted) and "Log every cannot be 0" in one.text]
    assert [(one.step, one.text) for one in events if isinstance(one, Marked)] == [(2, "here it begins")]

    rates = {one.step: one.learning_rate for one in events if isinstance(one, StepCompleted)}
    assert rates == {
        **dict.fromkeys(range(1, 8), RATE * 0.5), 8: RATE * 0.1, 9: RATE * 0.1, 12: RATE * 0.1, 13: RATE * 0.1,
    }  # fmt: skip
    assert [one.step for one in events if isinstance(one, Evaluated)] == [4, 6, 8, 10, 12, 13]
    assert [one.step for one in events if isinstance(one, CheckpointSaved)] == [8, 12, 13]

    samples = [one for one in events if isinstance(one, Sampled)]
    assert [one.step for one in samples] == [0, 0, 12, 13], "the base model answers once, and once more when asked more"
    fixed = len(samples[0].answers)
    assert samples[1].answers[:fixed] == samples[0].answers
    assert [answer.prompt for answer in samples[1].answers[fixed:]] == [PROMPT]
    assert [[a.prompt for a in one.answers] for one in samples[2:]] == [[a.prompt for a in samples[1].answers]] * 2
    assert samples[1].mean_words == samples[0].mean_words, "measures are of the fixed prompts"


def test_scoring_and_answering_change_no_bit_of_what_is_learnt(new_run: Callable[..., RunFolder]) -> None:
    quiet, busy = new_run(steps=6), new_run(steps=6, eval_every=1, sample_every=2)
    assert worker(quiet) == worker(busy, faults={after(1): put("sample_prompts", (PROMPT,))}) == 0
    weights = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (quiet, busy)]
    assert weights[0] == weights[1]
    assert [one.step for one in events_of(busy) if isinstance(one, Evaluated)] == [1, 2, 3, 4, 5, 6]
    assert [one.step for one in events_of(busy) if isinstance(one, Sampled)] == [0, 0, 2, 4, 6]
    assert [one.step for one in events_of(quiet) if isinstance(one, Evaluated)] == [6]
    last = [[one for one in events_of(run) if isinstance(one, Evaluated)][-1] for run in (quiet, busy)]
    assert last[0].margin == last[1].margin
    points = [[one for one in events_of(run) if isinstance(one, StepCompleted)] for run in (quiet, busy)]
    assert [one.loss for one in points[0]] == [one.loss for one in points[1]]
    assert not [one for one in events_of(busy) if isinstance(one, Adjusted) and one.by != "person"]
