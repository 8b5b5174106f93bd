"""Each step's accuracy is the share of its rows whose reward had the sign of their label before the step."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.backends.kto.conftest import Bench

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.mark.parametrize("micro_batch", [8, 3])
def test_every_steps_accuracy_is_counted_from_its_rows(bench: Callable[..., Bench], micro_batch: int) -> None:
    trainer = bench().exact(micro_batch, arguments={"num_train_epochs": 2})
    expected: list[dict[str, float]] = []
    run = trainer.step.run

    def counted(*args: Any) -> Any:
        result = run(*args)
        right = {True: list[bool](), False: list[bool]()}
        for ratio, label in zip(result.log_ratios.tolist(), result.desirable.tolist(), strict=True):
            right[label].append(ratio > 0 if label else ratio < 0)
        every = right[True] + right[False]
        shares = {"": every, "_chosen": right[True], "_rejected": right[False]}
        expected.append({f"rewards/accuracies{name}": sum(rows) / len(rows) for name, rows in shares.items() if rows})
        return result

    trainer.step.run = counted  # type: ignore[method-assign]
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    found = [{name: value for name, value in entry.items() if "accuracies" in name} for entry in logs]
    assert len(found) == len(expected) > 4
    assert found == [pytest.approx(each) for each in expected]
    assert found[0]["rewards/accuracies"] == 0, "at first every reward is 0, which has no sign"
    assert max(each["rewards/accuracies"] for each in found) > 0.5
