"""Coefficients traced today predict what the shipped ones predict."""

import math
import random

import pytest
import transformers

from kto_tui.memory import predict as arithmetic
from kto_tui.memory.coefficients import Case, Table, table
from kto_tui.memory.predict import Parts, predict
from kto_tui.memory.trace.generate import trace_case
from tests.memory.samples import Sample, random_sample

transformers.logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*")
DRIFT = 0.005
WINDOWS = 40
CASES = [
    ("llama", Case("accelerator", 16, True, True, "full", False)),
    ("qwen3", Case("cpu", 32, False, False, "balanced", True)),
    ("granite", Case("accelerator", 16, False, True, "minimal", False)),
]


def samples(architecture: str, case: Case) -> list[Sample]:
    """Runs of the catalog's models that fall under ``case``."""
    chance = random.Random(5)
    device, precision = ("cpu" if case.device == "cpu" else "cuda"), ("bf16" if case.bits == 16 else "fp32")
    found = []
    for _ in range(WINDOWS):
        rows = chance.choice([2, 4, 8])
        sample = random_sample(
            chance,
            architecture,
            lora_targets=case.targets,
            quantization="nf4" if case.quantised else "none",
            gradient_checkpointing=case.checkpointing,
            micro_batch=rows,
            effective_batch=rows if case.joint else 2 * rows,
            loss_type="kto",
        )
        sample = sample._replace(device=device, precision=precision)
        assert arithmetic.case_of(sample.spec, sample.recipe, device, precision) == case
        found.append(sample)
    return found


def parts(sample: Sample) -> Parts:
    found = predict(*sample)
    assert found is not None
    return found


@pytest.mark.parametrize(("architecture", "case"), CASES, ids=[f"{name} {case.device}" for name, case in CASES])
def test_fresh_coefficients_predict_what_the_shipped_ones_do(
    architecture: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = samples(architecture, case)
    shipped = [parts(run) for run in runs]
    fresh: Table = trace_case(architecture, case)
    assert fresh
    assert table(architecture, case) is not None
    monkeypatch.setattr(arithmetic, "table", lambda *_: fresh)
    for run, before in zip(runs, shipped, strict=True):
        after = parts(run)
        assert math.isclose(before.total - before.weights, after.total - after.weights, rel_tol=DRIFT), str(run)
