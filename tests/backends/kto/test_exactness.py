"""In fp32 the step is TRL's at micro-batch = window, and the same at any micro-batch."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.backends.kto.conftest import Bench, assert_equal_steps, record

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("chat", [True, False], ids=["chat", "plain text"])
def test_it_is_trls_step(bench: Callable[..., Bench], kind: str, chat: bool) -> None:
    it = bench(kind, chat=chat)
    plain, exact = record(it.plain()), record(it.exact())
    assert len(plain) == 18, "three epochs of five full windows and a last one of four rows"
    assert max(step.logs["kl"] for step in plain) > 0, "a KL of zero would prove nothing"
    assert_equal_steps(plain, exact)


@pytest.mark.parametrize("precomputed", [False, True], ids=["reference in the step", "reference ahead"])
def test_it_is_trls_step_for_apo(bench: Callable[..., Bench], precomputed: bool) -> None:
    it = bench(kl=False)
    changes: dict[str, Any] = {"loss_type": "apo_zero_unpaired", "num_train_epochs": 2}
    plain = record(it.plain(**changes, precompute_ref_log_probs=precomputed, train_sampling_strategy="sequential"))
    assert_equal_steps(plain, record(it.exact(arguments=changes)))


def test_it_is_trls_step_with_the_reference_ahead(bench: Callable[..., Bench]) -> None:
    it = bench()
    assert_equal_steps(record(it.plain(precompute_ref_log_probs=True)), record(it.exact()))


@pytest.mark.parametrize("plain_path", [False, True], ids=["packed", "padded"])
@pytest.mark.parametrize("kl", [True, False], ids=["kto", "apo_zero_unpaired"])
def test_the_micro_batch_changes_nothing(bench: Callable[..., Bench], plain_path: bool, kl: bool) -> None:
    it = bench(rows=58, kl=kl)
    changes: dict[str, Any] = {"num_train_epochs": 2, **({} if kl else {"loss_type": "apo_zero_unpaired"})}
    whole = record(it.exact(8, plain=plain_path, arguments=changes))
    assert len(whole) == 16, "seven full windows and one of two rows, twice"
    for micro_batch in (4, 1):
        assert_equal_steps(whole, record(it.exact(micro_batch, plain=plain_path, arguments=changes)))


def test_an_odd_micro_batch_changes_nothing(bench: Callable[..., Bench]) -> None:
    it = bench(rows=41)
    assert [len(window) for window in it.prepared.windows] == [8, 8, 8, 8, 9]
    assert_equal_steps(record(it.exact(9)), record(it.exact(3)))


def test_plain_trl_does_depend_on_the_micro_batch(bench: Callable[..., Bench]) -> None:
    """What this trainer is for; when this fails, TRL has become exact and the subclass may go."""
    it = bench()
    losses = []
    for changes in ({}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}):
        trainer = it.plain(**changes)
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(losses[0]) == len(losses[1])
    assert max(abs(one - other) for one, other in zip(*losses, strict=True)) > 1e-3


@pytest.mark.parametrize("answers", [2, 44])
def test_prompts_with_several_answers_are_shared_and_equal_plain_trl(bench: Callable[..., Bench], answers: int) -> None:
    it = bench(answers=answers)
    trainer = it.exact(8)
    exact = record(trainer)
    assert_equal_steps(record(it.plain()), exact)
    assert_equal_steps(record(it.exact(3)), exact)
