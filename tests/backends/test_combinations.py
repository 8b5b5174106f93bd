"""Every setting this machine trains with, for every architecture family, with its peak beside its prediction."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kto_tui.backends.base import Job
from kto_tui.backends.hf import device as devices
from kto_tui.backends.hf.device import choose_device
from kto_tui.backends.hf.kto.architectures import PROVEN
from kto_tui.backends.hf.model import load_model
from kto_tui.backends.hf.train import train
from kto_tui.backends.training import answers
from kto_tui.catalog import load_catalog
from kto_tui.draft import from_request, to_config
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.memory.measured import PeakRecord, records
from kto_tui.planner import propose
from kto_tui.recipe import Recipe, check_recipe
from kto_tui.runs.config import RunRequest
from kto_tui.runs.events import AdapterSaved, AnyEvent, PeakMeasured, StepCompleted
from kto_tui.runs.folder import create_run
from tests.memory.places import MACHINES
from tests.tiny import make_model, make_rows, write_jsonl

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="what a processor takes"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*", "ignore::UserWarning"),
]
PADDED = "granite"
NAMES = ("quantization", "precision", "gradient_checkpointing", "lora_targets")
# Each value at least once for each family ...
COVER = [("none", "bf16", False, "minimal"), ("nf4", "fp32", True, "balanced"), ("nf4", "bf16", False, "full")]
# ... and all of them together for one.
EVERY = [
    (*values, "full")
    for values in itertools.product(("none", "nf4"), ("bf16", "fp32"), (False, True))
    if (*values, "full") not in COVER
]
RUNS = [(kind, values) for kind in (*sorted(PROVEN), PADDED) for values in COVER]
RUNS += [("llama", values) for values in EVERY]


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_NEW_TOKENS", 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_model(tmp_path_factory.mktemp("models") / kind, kind=kind)
        return made[kind]

    return build


def run(folder: Path, tmp_path: Path, **chosen: Any) -> list[AnyEvent]:
    """Two steps, as the worker would train them."""
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(16))
    usual = {"effective_batch": 4, "micro_batch": 2, "max_length": 48, "steps": 2, "heldout_share": 0.0, "lora_rank": 4}
    request = RunRequest(model=str(folder), data=str(rows), overrides={**usual, **chosen})
    config = to_config(from_request(request, detect()))
    events: list[AnyEvent] = []
    job = Job(create_run(config), config, events.append, lambda: None)
    assert train(job) is None
    return events


@pytest.mark.parametrize(("kind", "values"), RUNS, ids=[f"{kind} {' '.join(map(str, each))}" for kind, each in RUNS])
def test_two_steps_train(kind: str, values: tuple[Any, ...], model: Callable[[str], Path], tmp_path: Path) -> None:
    chosen = dict(zip(NAMES, values, strict=True))
    if kind == "phi3":  # its projections are fused: there are no smaller sets
        chosen["lora_targets"] = "full"
    events = run(model(kind), tmp_path, **chosen)
    steps = [event for event in events if isinstance(event, StepCompleted)]
    assert [step.step for step in steps] == [1, 2]
    assert all(step.loss is not None and step.loss > 0 for step in steps)
    (peak,) = [event for event in events if isinstance(event, PeakMeasured)]
    assert peak.allocated_bytes > 0
    assert peak.process_bytes is not None
    assert peak.process_bytes > peak.allocated_bytes
    assert peak.predicted_bytes is not None
    assert peak.predicted_bytes > 0
    assert peak.row_tokens is not None
    assert 2 <= peak.row_tokens <= 48
    assert [event for event in events if isinstance(event, AdapterSaved)]
    (kept,) = [record for record in records() if isinstance(record, PeakRecord)]
    assert (kept.measured, round(kept.predicted)) == (peak.allocated_bytes, peak.predicted_bytes)


def test_every_value_is_covered_for_every_family() -> None:
    for kind in (*PROVEN, PADDED):
        taken = [set(column) for column in zip(*(values for name, values in RUNS if name == kind), strict=True)]
        assert taken[:3] == [{"none", "nf4"}, {"bf16", "fp32"}, {False, True}]
        assert taken[3] == {"minimal", "balanced", "full"}


def test_targets_a_model_does_not_have_are_named(model: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="q_proj"):
        run(model("phi3"), tmp_path, lora_targets="minimal")


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_proposed_is_what_the_backend_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = MACHINES[name]
    capability = (8, 0) if hardware.training_gpu is None else hardware.training_gpu.capability or (9, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: hardware.device == "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: hardware.device == "mps")
    for model in load_catalog():
        recipe = propose(model, hardware).recipe
        assert check_recipe(recipe) is recipe
        found = choose_device(recipe)
        assert (found.type, found.precision) == (hardware.device, hardware.precision)


@pytest.mark.parametrize(
    "chosen",
    [{"precision": "fp16"}, {"optimizer": "adamw_8bit"}, {"optimizer": "paged_adamw_8bit"}],
    ids=lambda chosen: next(iter(chosen.values())),
)
def test_what_a_processor_does_not_take_is_refused_before_anything_is_loaded(chosen: dict[str, str]) -> None:
    with pytest.raises(UserError, match="needs a CUDA device"):
        choose_device(Recipe(**chosen))
    assert devices.DTYPES.keys() == {"bf16", "fp16", "fp32"}


def nf4_job(folder: Path, tmp_path: Path) -> Job:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(16))
    request = RunRequest(model=str(folder), data=str(rows), overrides={"quantization": "nf4", "precision": "fp32"})
    config = to_config(from_request(request, detect()))
    return Job(create_run(config), config, lambda _: None, lambda: None)


def test_an_answer_before_training_leaves_the_gradients_of_nf4_alone(
    model: Callable[[str], Path], tmp_path: Path
) -> None:
    """bitsandbytes would repack the weights for answers only, and the base model's gradients would be gone."""
    folder = model("qwen2")
    job = nf4_job(folder, tmp_path)
    ids = torch.arange(3, 35)[None]

    def gradient(*, answer: bool) -> torch.Tensor:
        base = load_model(folder, job, choose_device(job.config.recipe))
        base.eval()
        if answer:
            with torch.no_grad():
                base(input_ids=ids)
        base.train()
        embeddings = base.get_input_embeddings()(ids).detach().requires_grad_()
        base(inputs_embeds=embeddings, labels=ids).loss.backward()
        assert embeddings.grad is not None
        return embeddings.grad

    torch.testing.assert_close(gradient(answer=True), gradient(answer=False))


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_a_quantised_model_on_a_processor_lets_go_of_the_checkpoint(
    model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = model("qwen2")
    job = nf4_job(folder, tmp_path)
    loaded = load_model(folder, job, choose_device(job.config.recipe))
    assert loaded.num_parameters() > 0
    assert str(folder) not in Path("/proc/self/maps").read_text(encoding="utf-8")
