"""What keeps one bad batch from ending a night's run, and what ends it when the night would be wasted."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
import torch

from kto_tui.backends.hf.kto.step import KtoStep, LossSettings, Share, StepResult
from kto_tui.data.prepare import Window
from kto_tui.errors import UserError

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
    """Skips steps whose loss or gradients are not finite, and ends the run after three in a row."""

    def __init__(self, note: Callable[[str], None], *, learning_rate: float) -> None:
        self._note = note
        self._learning_rate = learning_rate
        self._in_a_row = self._rescaled = 0

    def passes(
        self, result: StepResult, rows: Window, *, gradients_finite: bool, settings: LossSettings, scaled: bool = False
    ) -> bool:
        """Whether the step may be taken. ``scaled``: a gradient scaler skips infinite gradients itself.

        Raises:
            UserError: it may not, for the third time in a row.
        """
        loss_finite = bool(torch.isfinite(result.loss))
        if loss_finite and gradients_finite:
            self._in_a_row = self._rescaled = 0
            return True
        if scaled and loss_finite and self._rescaled < SCALER_PATIENCE:
            self._rescaled += 1
            return True
        self._in_a_row += 1
        what = "the gradient is" if loss_finite else "the loss is"
        where = f"rows at lines {_lines(rows)}"
        if self._in_a_row < PATIENCE:
            self._note(f"Step skipped: {what} not a finite number ({where})")
            return False
        raise UserError(
            f"{what.capitalize()} not a finite number for {PATIENCE} steps in a row",
            mend=self._advice(result, settings),
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on an accelerator or in PyTorch's CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in str(error) or "out of memory" in str(error).lower()
    )


class MemoryRelief:
    """Runs a window again in smaller packs when memory ran out, then without what cannot fit.

    Args:
        note: told what was done.
        long_rows: "cut" halves the completion of the longest row of the window, "skip" leaves that row out.
    """

    def __init__(self, note: Callable[[str], None], *, long_rows: str) -> None:
        self._note = note
        self._cuts = long_rows == "cut"
        self._changed: dict[int, Window] = {}

    def run(
        self,
        step: KtoStep,
        share: Share,
        backward: Callable[[torch.Tensor], None],
        unsynchronised: Callable[[], AbstractContextManager[None]],
        forget: Callable[[], None],
    ) -> tuple[StepResult, Share]:
        """``step.run``; returns the rows it was run on too. ``forget`` drops gradients that a failed try left."""
        if share.index in self._changed:
            share = self._replaced(share, self._changed[share.index])
        index = share.index
        while True:
            failure = None
            try:
                return step.run(share, backward, unsynchronised), share
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or share.ranks > 1 or step.reference_model is None:
                    raise
                failure = str(error).splitlines()[0]
            # Outside the handler: the failed try's tensors hang on its traceback.
            forget()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            share = self._relieve(step, share, failure)
            if index is not None and share.index is None:
                self._changed[index] = share.rows

    def _relieve(self, step: KtoStep, share: Share, failure: str) -> Share:
        if step.micro_batch > 1 and len(share.rows) > 1:
            rows = min(step.micro_batch, len(share.rows)) // 2
            self._note(f"Memory ran out: from now on {rows} rows at a time (effective batch unchanged)")
            step.micro_batch = rows
            return share
        if step.room > 1:
            step.room = 1
            self._note("Memory ran out: from now on the KL term is scored in smaller packs")
            return share
        longest = max(share.rows, key=lambda row: row.length)
        half = len(longest.completion_ids) // 2
        others = tuple(row for row in share.rows if row is not longest)
        if self._cuts and half and len(longest.prompt_ids) < longest.length // 2:
            self._note(f"Memory ran out: the completion at line {longest.line} is cut to {half} tokens")
            shorter = msgspec.structs.replace(
                longest,
                completion_ids=longest.completion_ids[:half],
                kl_completion_ids=longest.kl_completion_ids[:half],
            )
            rows_kept = tuple(shorter if row is longest else row for row in share.rows)
            return self._replaced(share, rows_kept)
        if not others:
            raise UserError(
                f"Memory does not hold a single row ({failure})",
                mend="Lower max_length, turn gradient_checkpointing on, or set quantization to nf4",
                where=f"row at line {longest.line}, {longest.length} tokens",
            )
        self._note(f"Memory ran out: the row at line {longest.line} ({longest.length} tokens) is left out")
        return self._replaced(share, others)

    @staticmethod
    def _replaced(share: Share, rows: Window) -> Share:
        return msgspec.structs.replace(share, index=None, rows=rows, total=len(rows))
