"""The slow proofs of the memory prediction: published measurements, and a large sample of the catalog."""

import random
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

from kto_tui.memory.trace.peak import GIB, predict
from kto_tui.memory.trace.settings import Measured, read_rows
from tests.memory.samples import random_sample, traced

pytestmark = [
    pytest.mark.proof,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*"),
]
ROWS = Path(__file__).resolve().parents[3] / "shared" / "data" / "memory_configs.jsonl"
MEAN, WORST = 0.01, 0.02
SAMPLES, TOLERANCE = 6, 0.01


def error(row: Measured) -> float:
    assert row.allocated_gib is not None
    return predict(row).peak_bytes / GIB / row.allocated_gib - 1


def table(errors: dict[str, list[float]]) -> str:
    lines = [f"{'card':30} {'rows':>4} {'mean':>8} {'worst':>8}"]
    for card, found in {**errors, "all": [each for some in errors.values() for each in some]}.items():
        mean = statistics.fmean(map(abs, found))
        lines.append(f"{card:30} {len(found):4} {mean:8.2%} {max(found, key=abs):+8.2%}")
    return "\n".join(lines)


def test_published_measurements_are_met() -> None:
    if not ROWS.exists():
        pytest.skip(f"the published measurements are not here: {ROWS}")
    errors: dict[str, list[float]] = defaultdict(list)
    single: dict[str, float] = {}
    for row in read_rows(ROWS):
        if not row.repeat_of_another_row and row.allocated_gib is not None:
            single[row.id] = error(row)
            errors[f"{row.device} {row.attention} {row.quantization}"].append(single[row.id])
    print(table(errors))
    every = [each for card in errors.values() for each in card]
    assert len(every) >= 30
    assert statistics.fmean(map(abs, every)) <= MEAN
    assert max(map(abs, every)) <= WORST, {name: f"{each:+.2%}" for name, each in single.items() if abs(each) > WORST}


def test_the_apps_arithmetic_agrees_with_traces_over_the_catalog() -> None:
    off, errors = [], []
    for seed in range(1000, 1000 + SAMPLES):
        sample = random_sample(random.Random(seed))
        one = sample.predicted / max(traced(sample).values()) - 1
        errors.append(abs(one))
        if abs(one) > TOLERANCE:
            off.append(f"{one:+.2%} seed {seed}: {sample}")
    print(f"arithmetic against traces: mean {statistics.fmean(errors):.3%}, worst {max(errors):.3%} of {SAMPLES}")
    assert off == []
