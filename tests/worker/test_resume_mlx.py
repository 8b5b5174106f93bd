"""Runs on MLX: killed or paused they go on to the same bits, and their adapter says under PEFT what they reported."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.control import Request, request
from kto_tui.runs.events import AllocatorRead, CheckpointSaved, Evaluated, Resumed, StepCompleted, TrainingStarted
from kto_tui.runs.folder import RunFolder, create_run
from kto_tui.runs.report import summary_lines
from tests.forked import tiny_model, worker
from tests.tiny import make_rows, write_jsonl
from tests.worker.outcome import ended, result, told
from tests.worker.supervised import events_of

STEPS = 14
CASES: dict[str, dict[str, object]] = {
    "kto": {"micro_batch": 2, "log_every": 3, "save_every": 4},
    "sft": {
        "method": "sft",
        "use_dora": True,
        "quantization": "int4",
        "micro_batch": 4,
        "gradient_checkpointing": True,
    },
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model and a data file."""
    folder = tmp_path_factory.mktemp("places")
    return tiny_model(folder / "model"), write_jsonl(folder / "rows.jsonl", make_rows(64))


@pytest.fixture
def new_run(places: tuple[Path, Path]) -> Callable[..., RunFolder]:
    def build(case: str, **values: object) -> RunFolder:
        usual = {"effective_batch": 4, "max_length": 64, "steps": STEPS, "precision": "fp32", "learning_rate": 5e-3}
        overrides = usual | CASES[case] | values
        model, rows = places
        asked = RunRequest(model=str(model), data=str(rows), backend="mlx", overrides=overrides)
        return create_run(to_config(from_request(asked, detect())))

    return build


def test_killed_then_paused_it_ends_with_the_same_bits(new_run: Callable[..., RunFolder]) -> None:
    whole = new_run("kto")
    assert worker(whole) == 0, whole.log_tail(20)
    run = new_run("kto", save_every=random.Random().randint(1, 4))
    killed, paused = random.Random().choice((6, 9)), "12"
    assert worker(run, faults={('"step_completed"', f'"step":{killed},'): "kill"}) == -signal.SIGKILL
    assert worker(run, faults={('"step_completed"', f'"step":{paused},'): "pause"}) == 0
    assert ended(run)[0] == "paused"
    request(run.control, Request(action="run"))
    assert worker(run) == 0, run.log_tail(20)
    assert result(run) == result(whole)
    assert [event.step for event in events_of(run) if isinstance(event, Resumed)][-1] == 12
    started = [event for event in events_of(run) if isinstance(event, TrainingStarted)]
    assert {event.device for event in started} == {"cpu"}
    assert 0 < started[0].trainable_parameters < started[0].total_parameters
    read = [event for event in events_of(run) if isinstance(event, AllocatorRead)]
    assert all(0 < (event.active_bytes or 0) <= (event.peak_bytes or 0) for event in read)


def test_sft_killed_as_it_saves_ends_with_the_same_bits(new_run: Callable[..., RunFolder]) -> None:
    whole = new_run("sft")
    assert worker(whole) == 0, whole.log_tail(20)
    run = new_run("sft", save_every=2)
    assert worker(run, faults={('"checkpoint_saved"', '"step":6,'): "kill"}) == -signal.SIGKILL
    assert worker(run) == 0, run.log_tail(20)
    assert result(run) == result(whole)
    points = [event for event in events_of(whole) if isinstance(event, StepCompleted)]
    assert points[-1].loss is not None
    assert points[0].loss is not None
    assert points[-1].loss < points[0].loss
    assert {event.kl for event in points} == {event.margin for event in points} == {None}
    assert "thumbs-down rows are not trained on" in told(whole)
    scored = [[event for event in events_of(one) if isinstance(event, Evaluated)] for one in (whole, run)]
    base, last = scored[0][0], scored[0][-1]
    assert {base.accuracy, last.accuracy} == {None}
    # What the base model makes of the held-out rows, once and before the first step.
    assert [[one.step for one in each].count(0) for each in scored] == [1, 1]
    assert base == msgspec.structs.replace(scored[1][0], t=base.t)
    assert base.step == 0
    assert (base.loss or 0) > (last.loss or 0) > 0
    assert "before —" not in summary_lines(whole.read_state())[0]


def test_a_stop_saves_the_adapter_and_the_way_back(new_run: Callable[..., RunFolder]) -> None:
    run = new_run("kto")
    assert worker(run, faults={('"step_completed"', '"step":3,'): "stop"}) == 0
    assert ended(run)[0] == "stopped"
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert (run.adapter / "mlx" / "adapters.safetensors").is_file()
    assert [event.step for event in events_of(run) if isinstance(event, CheckpointSaved)][-1] == 4


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_peft_says_what_mlx_reported(new_run: Callable[..., RunFolder]) -> None:
    run = new_run("kto", learning_rate=0.1, lora_rank=4, lora_alpha=32)
    assert worker(run) == 0, run.log_tail(20)
    reported = [event for event in events_of(run) if isinstance(event, Evaluated)][-1]
    found = heldout_under_peft(run)
    assert found.rows == reported.rows
    assert found.accuracy == reported.accuracy
    assert found.margin == pytest.approx(reported.margin, abs=1e-4)
    assert abs(found.reward_desirable or 0) > 0.02, "an adapter that does nothing would prove nothing"


def heldout_under_peft(run: RunFolder) -> Evaluated:
    """What the adapter does to the held-out rows under Transformers and PEFT, by the TRL backend's own scorer."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from kto_tui.backends.base import Job
    from kto_tui.backends.hf.kto.scorer import PaddedScorer, without_gradient
    from kto_tui.backends.training.rewards import HeldoutRewards
    from kto_tui.backends.training.rows import prepare_rows
    from kto_tui.backends.training.tokenizer import load_tokenizer
    from kto_tui.data.sources import open_source
    from kto_tui.runs.config import load_config

    config = load_config(run.config)
    model = AutoPeftModelForCausalLM.from_pretrained(run.adapter, dtype=torch.float32).eval()
    tokenizer = load_tokenizer(run.adapter)
    source = open_source(config.data, config.heldout, config.choices)
    rows = prepare_rows(source, tokenizer, Job(run, config, lambda _: None, lambda: None))
    add_fused_lm_head(model.get_base_model())
    scorer = PaddedScorer(model, torch.device("cpu"), tokenizer.pad_token_id)
    score, beta = without_gradient(scorer), config.recipe.beta
    return HeldoutRewards(score, rows.heldout, model.disable_adapter, beta=beta, max_rows=4).evaluate(STEPS)
