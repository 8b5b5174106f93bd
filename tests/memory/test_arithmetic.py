"""The app's arithmetic against traces of the real step, and against the trainer's own constants."""

import random
import subprocess
import sys
import time

import msgspec
import pytest

from kto_tui.backends.hf.kto import attention_rows, head, layout, step
from kto_tui.backends.hf.kto.architectures import PROVEN, why_plain
from kto_tui.catalog import ModelSpec, config_values, find, load_catalog
from kto_tui.memory import predict as arithmetic
from kto_tui.memory.coefficients import MOST_TILE, PACKED, SAME_AS, TRACED, case_name, tables
from kto_tui.memory.predict import DeviceKind, Window, predict
from kto_tui.memory.trace import generate, optimizers, quantised
from kto_tui.memory.trace.architectures import configuration
from kto_tui.planner import propose
from kto_tui.recipe import LORA_TARGETS, Recipe
from kto_tui.units import count
from tests.memory.places import MACHINES
from tests.memory.samples import SPECS, Sample, exact_settings, peaks, random_sample, traced

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*")
# A seed each, of settings that differ and whose traces are quick; the proofs take larger ones.
QUICK = (1, 4)
TOLERANCE = 0.01
# Of each architecture whose coefficients are another's, a model.
LIKE_LLAMA = [
    ("mistralai/Mistral-7B-Instruct-v0.3", "cuda"),
    ("Qwen/Qwen2-0.5B-Instruct", "cpu"),
    ("HuggingFaceTB/SmolLM3-3B", "cuda"),
]
SMALL = Recipe(micro_batch=2, effective_batch=4, max_length=256, lora_rank=8)


def find_known(name: str) -> ModelSpec:
    found = find(name)
    assert found is not None
    return found


def assert_near(sample: Sample) -> None:
    phases = traced(sample)
    worst = max(phases, key=phases.__getitem__)
    assert sample.predicted == pytest.approx(phases[worst], rel=TOLERANCE), f"{sample}: traced {count(phases[worst])}"


@pytest.mark.parametrize("seed", QUICK)
def test_arithmetic_agrees_with_the_trace(seed: int) -> None:
    sample = random_sample(random.Random(seed), max_length=128, micro_batch=2, effective_batch=4)
    assert_near(sample)


@pytest.mark.parametrize(("name", "device"), LIKE_LLAMA)
def test_coefficients_of_another_architecture_hold(name: str, device: DeviceKind) -> None:
    spec = find_known(name)
    assert spec.model_type in SAME_AS
    assert_near(Sample(spec, SMALL, device, "bf16", Window(128, 64)))


def test_leaving_out_tiles_of_the_head_changes_no_peak() -> None:
    sample = Sample(find_known("Qwen/Qwen2-0.5B-Instruct"), SMALL, "cuda", "bf16", Window(136, 128))
    settings = exact_settings(sample)
    assert peaks(settings, 2) == peaks(settings, 2, all_tiles=True)


def test_every_case_of_every_architecture_is_shipped() -> None:
    for architecture in (*generate.PACKED, *generate.PADDED):
        assert set(tables(architecture)) == {case_name(case) for case in generate.cases(architecture)}, architecture
    assert {*generate.PACKED, *generate.PADDED} == TRACED
    assert {*SAME_AS.values()} <= TRACED


def test_what_is_packed_is_what_the_trainer_packs() -> None:
    assert PACKED == PROVEN
    for spec in SPECS:
        config = configuration(str(spec.model_type), config_values(spec))
        assert (why_plain(config, 1024) is None) == (spec.model_type in PACKED), spec.id


def test_constants_are_the_trainers_own() -> None:
    import trl.kernels.chunked_logprob as trl_head

    assert arithmetic.WITHOUT_GRADIENT == step.WITHOUT_GRADIENT
    assert arithmetic.WITH_CHECKPOINTING == step.WITH_CHECKPOINTING
    assert arithmetic.TILE_BYTES == head.TILE_BYTES
    assert arithmetic.GROUP_SCORES == attention_rows.GROUP_SCORES
    assert all(arithmetic.round_up(size) == layout.round_up(size) for size in (*range(5000), 65_537, 10**6 + 1))
    as_peft = {name: each if isinstance(each, str) else list(each) for name, each in LORA_TARGETS.items()}
    assert as_peft == generate.TARGETS
    assert trl_head.TOKEN_CHUNK_SIZE == MOST_TILE


def test_bytes_of_quantised_weights_and_states() -> None:
    """A layer of 4096 x 4096, as the traced stand-ins for bitsandbytes hold it."""
    import torch

    linear = torch.nn.Linear(4096, 4096, bias=False, device="meta")
    made = quantised.FakeLinear4bit(linear, torch.bfloat16, double_quant=True)
    held = sum(each.numel() * each.element_size() for each in (made.weight, made.absmax, made.second_absmax))
    assert held == arithmetic.NF4_BYTES * linear.weight.numel()
    parameter = torch.nn.Parameter(torch.zeros(4096, 16))
    parameter.grad = torch.zeros_like(parameter)
    for paged, wanted in ((False, arithmetic.ADAMW_8BIT_BYTES), (True, 2 * 4 / optimizers.BLOCK)):
        optimizer = optimizers.FakeAdamW8bit([parameter], paged=paged)
        optimizer.step()
        state = sum(each.numel() * each.element_size() for each in optimizers.state_tensors(optimizer))
        assert state == pytest.approx(wanted * parameter.numel())


def test_nf4_bytes_are_bitsandbytes_own() -> None:
    import bitsandbytes as bnb
    import torch

    weight = torch.randn(512, 1024)
    packed, state = bnb.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    parts = [packed, state.absmax, state.state2.absmax]
    held = sum(each.numel() * each.element_size() for each in parts)
    assert held == arithmetic.NF4_BYTES * weight.numel()


def test_a_prediction_is_quick() -> None:
    recipe, specs = Recipe(), load_catalog()

    def seconds(models: list[ModelSpec]) -> float:
        best = float("inf")
        for _ in range(3):
            begin = time.perf_counter()
            for model in models:
                predict(model, recipe, "cuda", "bf16")
            best = min(best, time.perf_counter() - begin)
        return best

    seconds(specs)  # tables are read once
    assert seconds(specs) < 5 * 0.050
    for model in SPECS:
        assert seconds([model]) < 5 * 0.001, model.id


def test_planning_for_a_model_imports_no_training_library() -> None:
    code = """
import sys
from kto_tui.catalog import load_catalog
from kto_tui.memory.estimate import estimate
from kto_tui.planner import propose
from kto_tui.recipe import Recipe
assert estimate(load_catalog()[0], Recipe(), "cpu", "fp32") is not None
print(sorted({"torch", "transformers", "trl", "peft", "huggingface_hub"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_predictions_of_proposals_are_traced_ones() -> None:
    """What the planner proposes for models of traced architectures never falls back to the rough estimate."""
    for hardware in MACHINES.values():
        for model in SPECS:
            plan = propose(model, hardware)
            assert plan.predicted is not None
            assert plan.predicted.quality == "traced", (model.id, hardware.device, plan.recipe)


def test_a_window_of_rows_without_scores_still_has_a_peak() -> None:
    model = find_known("HuggingFaceTB/SmolLM2-135M-Instruct")
    one, two = (predict(model, SMALL, "cpu", "fp32", Window(2, scored)) for scored in (1, 2))
    assert one is not None
    assert two is not None
    assert 4 * (model.parameters or 0) < one.total <= two.total
    assert msgspec.structs.astuple(one)[0] == 4 * (model.parameters or 0)
