"""Under fp32 the steps are those of the real KTOTrainer: same pairs, losses, KL, gradients, curves and adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kto_tui.backends.mlx.packs import pack
from tests.backends.kto.conftest import Bench
from tests.backends.mlx.conftest import copy_adapters, disturb
from tests.backends.mlx.trainings import RECIPE, SETTINGS, Step, adapters, mlx_model, mlx_trainer, relative, take_steps

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LOSS, KL, LOG_PROBS, GRADIENTS = 5e-6, 1e-4, 1e-3, 1e-3


def record(trainer: Any) -> list[Step]:
    """Train with TRL, and return every step."""
    steps = []
    original = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> Any:
        loss = original(*args, **kwargs)
        found = {n: p.grad.numpy().copy() for n, p in trainer.model.named_parameters() if p.grad is not None}
        steps.append(Step(float(loss), found, {}))
        return loss

    trainer.training_step = training_step
    trainer.train()
    for step, logs in zip(steps, [each for each in trainer.state.log_history if "loss" in each], strict=True):
        step.logs = logs
    return steps


def assert_equal(trl: list[Step], mlx: list[Step]) -> None:
    assert len(trl) == len(mlx) >= 20
    for number, (one, other) in enumerate(zip(trl, mlx, strict=True)):
        assert abs(one.loss - other.loss) < LOSS, number
        assert relative(one.gradients, other.gradients) < GRADIENTS, number
        for name, tolerance in (
            ("kl", KL), ("logps/chosen", LOG_PROBS), ("logps/rejected", LOG_PROBS), ("rewards/chosen", KL),
            ("rewards/rejected", KL), ("rewards/margins", KL), ("grad_norm", 1e-4), ("learning_rate", 1e-9),
        ):  # fmt: skip
            if name in one.logs:
                assert other.logs[name] == pytest.approx(one.logs[name], abs=tolerance, rel=1e-5), (number, name)


@pytest.mark.parametrize(("kind", "schedule"), [("llama", "cosine"), ("qwen2", "linear")])
def test_it_is_trls_training(checkpoint: Callable[..., Path], tmp_path: Path, kind: str, schedule: str) -> None:
    it = Bench(checkpoint(kind), tmp_path, rows=56)
    trl = it.plain(lr_scheduler_type=schedule, warmup_steps=0.15)
    disturb(trl.model)
    model = mlx_model(it.folder)
    copy_adapters(trl.model, model)
    expected = record(trl)
    recipe = msgspec.structs.replace(RECIPE, schedule=schedule, warmup=0.15)
    trainer = mlx_trainer(model, it.prepared.windows, recipe)
    found = take_steps(trainer)
    assert max(step.logs["kl"] for step in expected) > 1e-3, "a KL of zero would prove nothing"
    assert_equal(expected, found)
    final = {name: each.detach().numpy() for name, each in trl.model.named_parameters() if each.requires_grad}
    assert relative(final, adapters(trainer)) < 1e-3


def test_it_is_trls_training_for_apo(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    it = Bench(checkpoint("llama"), tmp_path, rows=56, kl=False)
    trl = it.plain(loss_type="apo_zero_unpaired")
    disturb(trl.model)
    model = mlx_model(it.folder)
    copy_adapters(trl.model, model)
    settings = msgspec.structs.replace(SETTINGS, loss_type="apo_zero_unpaired")
    recipe = msgspec.structs.replace(RECIPE, loss_type="apo_zero_unpaired")
    assert_equal(record(trl), take_steps(mlx_trainer(model, it.prepared.windows, recipe, settings)))


def test_ids_and_pairs_are_those_of_trl(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    it = Bench(checkpoint("llama"), tmp_path)
    for batch, window in zip(it.plain().get_train_dataloader(), it.prepared.windows, strict=True):
        for kind, pairs in (
            ("", [(row.prompt_ids, row.completion_ids) for row in window]),
            ("KL_", [(row.prompt_ids, row.kl_completion_ids) for row in window]),
        ):
            ids, mask = batch[f"{kind}input_ids"], batch[f"{kind}attention_mask"].bool()
            packed = pack(pairs)
            rows = [row[: int(real.sum())].tolist() for row, real in zip(np.array(packed.ids), mask, strict=True)]
            assert rows == [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
            scored = ids[batch[f"{kind}completion_mask"].bool() & mask]
            assert np.array(packed.targets)[np.array(packed.member).any(axis=0)].tolist() == scored.tolist()


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_the_micro_batch_changes_nothing(checkpoint: Callable[..., Path], tmp_path: Path, loss_type: str) -> None:
    it = Bench(checkpoint("llama"), tmp_path, rows=41, kl=loss_type == "kto")
    settings = msgspec.structs.replace(SETTINGS, loss_type=loss_type)
    runs = []
    for micro_batch, checkpointing in ((8, False), (3, False), (1, False), (4, True)):
        recipe = msgspec.structs.replace(RECIPE, micro_batch=micro_batch, gradient_checkpointing=checkpointing)
        trainer = mlx_trainer(mlx_model(it.folder), it.prepared.windows, recipe, settings)
        runs.append(take_steps(trainer, 6))
    for other in runs[1:]:
        for one, two in zip(runs[0], other, strict=True):
            assert abs(one.loss - two.loss) < LOSS
            assert relative(one.gradients, two.gradients) < GRADIENTS
            assert one.logs["tokens"] == two.logs["tokens"]
    assert np.isfinite([step.loss for step in runs[0]]).all()
