"""Checkpointing, evaluation, resume, NF4, full fine-tuning and bf16 work with the exact step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BitsAndBytesConfig

from kto_tui.backends.training.reference import ReferenceCache
from tests.backends.kto.conftest import GRADIENT_TOLERANCE, Bench, assert_equal_steps, lora, record

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*")


@pytest.mark.parametrize("plain_path", [False, True], ids=["packed", "padded"])
def test_gradient_checkpointing_changes_nothing(bench: Callable[..., Bench], plain_path: bool) -> None:
    it = bench(rows=24)
    usual = record(it.exact(4, plain=plain_path))
    assert_equal_steps(usual, record(it.exact(4, plain=plain_path, arguments={"gradient_checkpointing": True})))


def test_a_stopped_run_goes_on_where_it_was(bench: Callable[..., Bench]) -> None:
    it = bench(rows=40)
    whole = record(it.exact(4, arguments={"max_steps": 12}))
    first = record(it.exact(4, arguments={"max_steps": 7, "save_strategy": "steps", "save_steps": 7}))
    rest = record(it.exact(4, arguments={"max_steps": 12}), resume_from_checkpoint=str(it.output / "checkpoint-7"))
    assert len(first) == 7
    assert_equal_steps(whole[:7], first)
    assert_equal_steps(whole[7:], rest)


def test_evaluation_is_the_loss_of_the_heldout_windows(bench: Callable[..., Bench]) -> None:
    it = bench()
    windows = it.prepared.windows
    trainer = it.exact(4, windows=windows[:3], eval_windows=windows[3:])
    before = trainer.evaluate()
    desirable = sum(row.label for window in windows[3:] for row in window)
    rows = sum(map(len, windows[3:]))
    assert before["eval_loss"] == pytest.approx((1.3 * desirable + 0.8 * (rows - desirable)) / rows / 2)
    assert before["eval_kl"] == before["eval_rewards/chosen"] == 0
    trainer.train()
    after = trainer.evaluate()
    again = it.exact(1, windows=windows[:3], eval_windows=windows[3:])
    again.train()
    assert after["eval_loss"] != before["eval_loss"]
    assert again.evaluate()["eval_loss"] == pytest.approx(after["eval_loss"], abs=1e-5)


def test_full_fine_tuning_scores_its_reference_before_the_first_step(bench: Callable[..., Bench]) -> None:
    it = bench("mistral", rows=32)
    changes = {"learning_rate": 1e-3}
    whole = record(it.exact(8, peft_config=None, arguments=changes))
    assert whole[0].loss == pytest.approx(0.5 * (1.3 + 0.8) / 2, abs=1e-6)
    assert abs(whole[-1].loss - whole[0].loss) > 1e-3
    plain = it.exact(8, peft_config=None, arguments=changes, plain=True)
    assert_equal_steps(whole, record(plain), gradient_tolerance=5 * GRADIENT_TOLERANCE)
    assert_equal_steps(
        whole, record(it.exact(2, peft_config=None, arguments=changes)), gradient_tolerance=5 * GRADIENT_TOLERANCE
    )


def test_nf4_bases_learn_packed_as_padded(bench: Callable[..., Bench]) -> None:
    it = bench(rows=16)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )

    def losses(micro_batch: int, plain: bool) -> list[float]:
        model = it.model(quantization_config=config, device_map={"": "cpu"})
        steps = record(it.exact(micro_batch, model=model, plain=plain))
        return [step.loss for step in steps]

    whole = losses(8, False)
    assert abs(whole[-1] - whole[0]) > 1e-3
    # The adapters are bf16 here, as TRL makes them for quantised models.
    assert losses(2, False) == pytest.approx(whole, abs=5e-3)
    assert losses(8, True) == pytest.approx(whole, abs=5e-3)


@pytest.mark.parametrize("micro_batch", [8, 2, 1])
def test_in_bf16_the_first_loss_is_half_the_weights_and_kl_is_zero(
    bench: Callable[..., Bench], micro_batch: int
) -> None:
    it = bench()
    first = record(it.exact(micro_batch, model=it.model(torch.bfloat16), arguments={"max_steps": 2}))[0]
    window = it.prepared.windows[0]
    assert first.loss == pytest.approx(sum(0.65 if row.label else 0.4 for row in window) / len(window), abs=1e-7)
    assert first.logs["kl"] == first.logs["rewards/chosen"] == first.logs["rewards/rejected"] == 0


def test_adapters_on_the_head_are_refused_with_a_reason(bench: Callable[..., Bench]) -> None:
    with pytest.raises(ValueError, match="lm_head"):
        bench("mistral").exact(peft_config=lora(target_modules=["q_proj", "lm_head"]))


def test_evaluation_takes_no_figures_from_training(bench: Callable[..., Bench]) -> None:
    it = bench(rows=16)
    trainer = it.exact(eval_windows=it.prepared.windows[:1], arguments={"logging_steps": 5, "num_train_epochs": 1})
    trainer.train()
    trainer._metrics["train"]["kl"] = [123.0]
    trainer.evaluate()
    assert trainer._metrics["train"]["kl"] == [123.0]
    assert trainer.state.log_history[-1]["eval_kl"] != 123.0


def test_later_epochs_and_runs_read_the_reference_from_disk(bench: Callable[..., Bench], tmp_path: Path) -> None:
    it = bench()
    file = tmp_path / "reference" / "key.jsonl"
    first = it.exact(4, reference=ReferenceCache(file))
    steps = record(first)
    assert first.step.seconds["reference"] > 0
    with file.open("ab") as torn:
        torn.write(b"[0,[4,4],[1.0")
    again = it.exact(4, reference=ReferenceCache(file))
    assert_equal_steps(steps, record(again))
    assert again.step.seconds["reference"] == 0, "nothing is scored twice"
    other = it.exact(2, reference=ReferenceCache(file))
    assert_equal_steps(steps, record(other))
    assert other.step.seconds["reference"] > 0, "other packs have other rounding"
