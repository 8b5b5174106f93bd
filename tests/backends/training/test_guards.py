"""Which steps may be taken, and what is asked of the arrays to know it."""

from collections.abc import Callable

import pytest

from kto_tui.backends.faults import TrainingError
from kto_tui.backends.training.guards import PATIENCE, SCALER_PATIENCE, StepGuard
from kto_tui.data.prepare import PreparedRow
from kto_tui.methods.kto_loss import LossSettings

ROWS = (PreparedRow(7, True, (1, 2), (3,)), PreparedRow(4, False, (1, 2), (3,)))


def step(
    guard: StepGuard,
    *,
    loss: bool = True,
    gradients: bool = True,
    beta: float = 0.1,
    reference: Callable[[], bool] = lambda: True,
    reward: Callable[[], float] = lambda: 0.0,
    scaled: bool = False,
) -> bool:
    return guard.passes(
        loss_finite=loss,
        gradients_finite=gradients,
        rows=ROWS,
        settings=LossSettings(beta, "kto", 1.0, 1.0),
        reference_finite=reference,
        largest_reward=reward,
        scaled=scaled,
    )


def asked() -> float:
    raise AssertionError("a transfer from the device that no good step may cost")


def test_a_good_step_asks_nothing_and_forgives_what_was() -> None:
    notes: list[str] = []
    guard = StepGuard(notes.append, learning_rate=1e-4)
    for _ in range(PATIENCE + 1):
        assert not step(guard, loss=False, reward=asked)
        assert step(guard, reference=lambda: bool(asked()), reward=asked)
    assert notes[0] == "Step skipped: the loss is not a finite number (rows at lines 4, 7)"


def test_a_scaler_may_skip_steps_but_not_for_ever() -> None:
    guard = StepGuard(lambda _: None, learning_rate=1e-4)
    assert all(step(guard, gradients=False, scaled=True) for _ in range(SCALER_PATIENCE))
    assert not step(guard, gradients=False, scaled=True)
    assert not step(guard, gradients=False, scaled=True)
    with pytest.raises(TrainingError, match="in a row"):
        step(guard, gradients=False, scaled=True)


@pytest.mark.parametrize(
    ("beta", "reference", "reward", "advice"),
    [
        (5.0, False, 80.0, "The base model itself"),
        (5.0, True, 80.0, "Lower beta, now 5"),
        (5.0, True, 10.0, "Lower learning_rate, now 0.0001"),
        (0.1, True, 80.0, "Lower learning_rate, now 0.0001"),
    ],
)
def test_the_third_in_a_row_ends_the_run_with_advice(beta: float, reference: bool, reward: float, advice: str) -> None:
    guard = StepGuard(lambda _: None, learning_rate=1e-4)
    guard.in_a_row = PATIENCE - 1
    with pytest.raises(TrainingError) as caught:
        step(guard, gradients=False, beta=beta, reference=lambda: reference, reward=lambda: reward)
    assert caught.value.cause == "not_finite"
    assert caught.value.mend.startswith(advice)
