"""Traces on fake tensors need what the same step needs on real ones; shallow traces say what deep models need."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import msgspec
import pytest
import torch

from kto_tui.backends.hf.kto import head, layout
from kto_tui.memory.trace import exact, peak
from kto_tui.memory.trace.exact import ExactSettings
from kto_tui.memory.trace.ledger import Ledger
from kto_tui.memory.trace.settings import Settings, Shape

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*")
LAYERS = 2


def shape(architecture: str, **changes: Any) -> Shape:
    values = {
        "architecture": architecture,
        "hidden_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 160,
        "vocab_size": 600,
        "tie_word_embeddings": False,
    }
    return Shape(**{**values, **changes})


@contextlib.contextmanager
def real(settings: ExactSettings) -> Iterator[None]:
    """In the place of the fake tensors' context: everything is real but the device whose forms the step takes."""
    rows = [
        msgspec.structs.replace(row, kl_completion_ids=(599 - row.line,) * settings.scored)
        for row in exact.rows_of(settings)
    ]
    with (
        mock.patch.object(layout, "on_cpu", return_value=not settings.accelerator),
        mock.patch.object(exact, "rows_of", return_value=tuple(rows)),
    ):
        head._scratch.clear()
        yield
        head._scratch.clear()


def initialised(model: Any) -> None:
    """Weights that are numbers: traces leave them as memory was found."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.05)


def peaks(settings: ExactSettings, layers: int = LAYERS, *, fake: bool = True) -> dict[str, int]:
    ledger = Ledger(accelerator=settings.accelerator)
    if fake:
        exact.run(settings, layers, ledger)
    else:
        with mock.patch.object(exact, "_faked", real):
            exact.run(settings, layers, ledger, begin=initialised)
    return {phase: found.total for phase, found in ledger.peaks.items()}


def settings(architecture: str = "llama", **changes: Any) -> ExactSettings:
    usual = {"dtype": "float32", "rank": 4, "effective_batch": 4, "micro_batch": 2, "length": 40, "scored": 15}
    values = {"shape": shape(architecture), "accelerator": False, **usual}
    return ExactSettings(**{**values, **changes})


CASES = {
    "llama": settings(),
    "llama, one pack": settings(micro_batch=4),
    "llama, checkpointing": settings(checkpointing=True),
    "llama, bf16": settings(dtype="bfloat16"),
    "llama, no KL": settings(kl=False),
    "llama, accelerator": settings(accelerator=True),
    "llama, q and v": settings(targets=["q_proj", "v_proj"]),
    "gemma2": settings("gemma2"),
    "phi3, accelerator": settings("phi3", accelerator=True, shape=shape("phi3", extra={"pad_token_id": 0})),
    "granite, padded": settings("granite"),
    "granite, padded, checkpointing": settings("granite", checkpointing=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_real_step_needs_what_the_trace_says(case: ExactSettings) -> None:
    traced, measured = peaks(case), peaks(case, fake=False)
    assert {"setup", "reference", "forward", "backward", "optimizer"} <= set(traced)
    assert ("kl" in traced) == case.kl
    assert set(traced) == set(measured)
    for phase, found in measured.items():
        # On fake tensors a pack's index tensors are counted as given and as converted: a few blocks of 512 bytes.
        assert 0 <= traced[phase] - found <= 4096, phase


def test_a_later_epoch_skips_the_reference_and_needs_no_more() -> None:
    whole, later = Ledger(accelerator=False), Ledger(accelerator=False)
    exact.run(settings(), LAYERS, whole)
    exact.run(settings(), LAYERS, later, reference=False)
    assert "reference" not in later.peaks
    for phase in set(later.peaks) - {"setup"}:
        assert later.peaks[phase].total <= whole.peaks[phase].total, phase


@pytest.mark.parametrize(("architecture", "accelerator"), [("llama", True), ("gemma2", False)])
def test_depth_is_a_line(architecture: str, accelerator: bool) -> None:
    """2 and 4 layers say what 6 need; gemma2's alternate between two kinds of attention."""
    case = settings(architecture, accelerator=accelerator, effective_batch=2, micro_batch=1)
    two, four, six = (peaks(case, layers) for layers in (2, 4, 6))
    for phase, found in six.items():
        assert two[phase] + 2 * (four[phase] - two[phase]) == pytest.approx(found, rel=0.001), phase


@pytest.mark.parametrize(("architecture", "loop"), [("llama", "sft"), ("gemma2", "kto")])
def test_the_extended_prediction_is_the_full_trace(architecture: str, loop: str) -> None:
    row = Settings(
        loop=loop,
        head="fused" if loop == "kto" else "full_logits",
        batch=2,
        seq_len=32,
        shape=shape(architecture, num_hidden_layers=6),
        weights_dtype="bfloat16",
        adapter="lora",
        rank=4,
        targets="all-linear",
        adapter_dtype="float32",
        gradient_checkpointing=False,
        attention="eager" if architecture == "gemma2" else "sdpa",
        workspace_mib=1.5,
    )
    predicted = peak.predict(row)
    full = peak.trace(row, 6)
    worst = max(each.total for each in full.values()) + 1.5 * peak.MIB
    assert predicted.peak_bytes == pytest.approx(worst, rel=0.001)
    assert sum(predicted.parts.values()) == pytest.approx(predicted.peak_bytes, rel=0.02)
    as_it_is = peak.predict(msgspec.structs.replace(row, shape=shape(architecture, num_hidden_layers=3)))
    assert as_it_is.peak_bytes < predicted.peak_bytes
