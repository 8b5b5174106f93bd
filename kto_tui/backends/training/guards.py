"""What keeps one bad batch from ending a night's run, and what ends it when the night would be wasted."""

from collections.abc import Callable

from kto_tui.backends.faults import TrainingError
from kto_tui.data.prepare import Window
from kto_tui.methods.kto_loss import LossSettings

# So many steps in a row without a finite loss and gradient end the run.
PATIENCE = 3
# fp16's scaler starts at 2^16 and halves with every infinite gradient, which it skips itself: after so many in a row
# the gradients are infinite at any scale.
SCALER_PATIENCE = 20
# A reward beyond this saturates the loss: the policy has left the reference far behind.
RUNAWAY_REWARD = 50.0


def _lines(rows: Window) -> str:
    return ", ".join(str(row.line) for row in sorted(rows, key=lambda row: row.line))


class StepGuard:
    """Skips steps whose loss or gradients are not finite, and ends the run after three in a row.

    Args:
        note: told of each step that is skipped.
        learning_rate: the recipe's, for the advice.

    Attributes:
        in_a_row: steps skipped since the last good one.
        rescaled: those since then that the gradient scaler skipped.
    """

    def __init__(self, note: Callable[[str], None], *, learning_rate: float) -> None:
        self._note = note
        self._learning_rate = learning_rate
        self.in_a_row = self.rescaled = 0

    def passes(
        self,
        *,
        loss_finite: bool,
        gradients_finite: bool,
        rows: Window,
        settings: LossSettings,
        reference_finite: Callable[[], bool],
        largest_reward: Callable[[], float],
        scaled: bool = False,
    ) -> bool:
        """Whether the step may be taken.

        Args:
            loss_finite: whether the loss is a finite number.
            gradients_finite: whether the gradients' norm is.
            rows: of the step.
            settings: of the loss.
            reference_finite: asked only when the run ends: whether the reference gave every row a finite score.
            largest_reward: asked only then: the largest finite reward without its sign, 0 where none is finite.
            scaled: a gradient scaler skips infinite gradients itself.

        Raises:
            TrainingError: it may not, for the third time in a row.
        """
        if loss_finite and gradients_finite:
            self.in_a_row = self.rescaled = 0
            return True
        if scaled and loss_finite and self.rescaled < SCALER_PATIENCE:
            self.rescaled += 1
            return True
        self.in_a_row += 1
        what = "the gradient is" if loss_finite else "the loss is"
        where = f"rows at lines {_lines(rows)}"
        if self.in_a_row < PATIENCE:
            self._note(f"Step skipped: {what} not a finite number ({where})")
            return False
        raise TrainingError(
            f"{what.capitalize()} not a finite number for {PATIENCE} steps in a row",
            mend=self._advice(settings, reference_finite, largest_reward),
            cause="not_finite",
            where=where,
        )

    def _advice(
        self, settings: LossSettings, reference_finite: Callable[[], bool], largest_reward: Callable[[], float]
    ) -> str:
        if not reference_finite():
            return "The base model itself gives these rows no finite score: set precision to fp32, or remove the rows"
        if settings.beta > 1 and largest_reward() > RUNAWAY_REWARD:
            return f"Lower beta, now {settings.beta:g}, to 0.1, and learning_rate, now {self._learning_rate:g}"
        return (
            f"Lower learning_rate, now {self._learning_rate:g}, to a tenth; set precision to fp32 if that does not help"
        )
