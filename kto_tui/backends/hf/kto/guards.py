"""What keeps one bad batch from ending a night's run, and what ends it when the night would be wasted."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
import torch

from kto_tui.backends.faults import TrainingError, is_out_of_memory
from kto_tui.backends.hf.kto.step import KtoStep, LossSettings, Share, StepResult
from kto_tui.backends.hf.relief import release
from kto_tui.data.prepare import PreparedRow, Window
from kto_tui.runs.events import Adjusted

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

    Attributes:
        in_a_row: steps skipped since the last good one.
        rescaled: those since then that the gradient scaler skipped.
    """

    def __init__(self, note: Callable[[str], None], *, learning_rate: float) -> None:
        self._note = note
        self._learning_rate = learning_rate
        self.in_a_row = self.rescaled = 0

    def passes(
        self, result: StepResult, rows: Window, *, gradients_finite: bool, settings: LossSettings, scaled: bool = False
    ) -> bool:
        """Whether the step may be taken. ``scaled``: a gradient scaler skips infinite gradients itself.

        Raises:
            TrainingError: it may not, for the third time in a row.
        """
        loss_finite = bool(torch.isfinite(result.loss))
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
            mend=self._advice(result, settings),
            cause="not_finite",
            where=where,
        )

    def _advice(self, result: StepResult, settings: LossSettings) -> str:
        if not torch.isfinite(result.reference).all():
            return "The base model itself gives these rows no finite score: set precision to fp32, or remove the rows"
        rewards = settings.beta * result.log_ratios[torch.isfinite(result.log_ratios)].abs()
        if settings.beta > 1 and rewards.numel() and float(rewards.max()) > RUNAWAY_REWARD:
            return f"Lower beta, now {settings.beta:g}, to 0.1, and learning_rate, now {self._learning_rate:g}"
        return (
            f"Lower learning_rate, now {self._learning_rate:g}, to a tenth; set precision to fp32 if that does not help"
        )


class MemoryRelief:
    """Runs a window again when memory ran out: fewer rows at a time, then smaller KL packs; both change no result.

    Where that is not enough and activations are recomputed already, single rows are cut or left out. Where they are
    not, the error leaves: the process must begin again with checkpointing.

    Args:
        told: what was changed.
        long_rows: "cut" halves the completion of the longest row of the window, "skip" leaves that row out.
        checkpointing: whether activations are recomputed.

    Attributes:
        changed: windows that memory did not hold as they were, by index.
    """

    def __init__(self, told: Callable[[Adjusted], None], *, long_rows: str, checkpointing: bool) -> None:
        self._told = told
        self._cuts = long_rows == "cut"
        self._checkpointing = checkpointing
        self._lines: set[int] = set()
        self.changed: dict[int, Window] = {}

    def run(
        self,
        step: KtoStep,
        share: Share,
        backward: Callable[[torch.Tensor], None],
        unsynchronised: Callable[[], AbstractContextManager[None]],
        forget: Callable[[], None],
    ) -> tuple[StepResult, Share]:
        """``step.run``; returns the rows it was run on too. ``forget`` drops gradients that a failed try left.

        Raises:
            RuntimeError, MemoryError: memory ran out and nothing is left to try here, or another fault.
        """
        if share.index in self.changed:
            share = self._replaced(share, self.changed[share.index])
        index = share.index
        while True:
            try:
                return step.run(share, backward, unsynchronised), share
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or share.ranks > 1 or step.reference_model is None:
                    raise
                if not (smaller := self._smaller_packs(step, share)) and not (
                    self._checkpointing and self._has_more(share)
                ):
                    raise
            # Outside the handler: the failed try's tensors hang on its traceback.
            forget()
            release()
            if smaller:
                continue
            share = self._fewer_tokens(share)
            if index is not None:
                self.changed[index] = share.rows

    def _tell(self, name: str, before: int, after: int, because: str) -> None:
        because = f"memory ran out; {because}"
        self._told(Adjusted(name=name, before=before, after=after, because=because, by="recovery"))

    def _smaller_packs(self, step: KtoStep, share: Share) -> bool:
        """Whether there was something left to make smaller."""
        if step.micro_batch > 1 and len(share.rows) > 1:
            before, step.micro_batch = step.micro_batch, min(step.micro_batch, len(share.rows)) // 2
            self._tell("micro_batch", before, step.micro_batch, f"the step stays one of {len(share.rows)} rows")
            return True
        if step.room > 1:
            before, step.room = step.room, 1
            self._tell("kl_packs", before, 1, "the KL term is scored in packs no larger than those trained on")
            return True
        return False

    def _halves(self, row: PreparedRow) -> bool:
        return self._cuts and len(row.completion_ids) > 1 and len(row.prompt_ids) < row.length // 2

    def _has_more(self, share: Share) -> bool:
        return len(share.rows) > 1 or self._halves(share.rows[0])

    def _fewer_tokens(self, share: Share) -> Share:
        """``share`` with its longest row cut to half its completion, or without it."""
        row = max(share.rows, key=lambda row: row.length)
        self._lines.add(row.line)
        touched = f"rows cut or left out so far: {len(self._lines)}"
        if self._halves(row):
            half = len(row.completion_ids) // 2
            shorter = msgspec.structs.replace(
                row, completion_ids=row.completion_ids[:half], kl_completion_ids=row.kl_completion_ids[:half]
            )
            self._tell(f"tokens of line {row.line}", row.length, shorter.length, f"its answer is cut; {touched}")
            return self._replaced(share, tuple(shorter if one is row else one for one in share.rows))
        self._tell(f"tokens of line {row.line}", row.length, 0, f"the row is left out; {touched}")
        return self._replaced(share, tuple(one for one in share.rows if one is not row))

    @staticmethod
    def _replaced(share: Share, rows: Window) -> Share:
        return msgspec.structs.replace(share, index=None, rows=rows, total=len(rows))
