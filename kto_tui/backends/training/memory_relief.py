"""What is tried when memory runs out inside a training step: smaller packs, then fewer tokens."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from kto_tui.backends.faults import is_out_of_memory
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import PreparedRow, Window
from kto_tui.runs.events import Adjusted

R = TypeVar("R")


class Step(Protocol):
    """What can be made smaller about a step, which looks at it anew each time it runs.

    Attributes:
        micro_batch: rows per pack, at most.
        room: tokens of a pass without gradient, as a multiple of the largest gradient pack's.
    """

    micro_batch: int
    room: int

    @property
    def reference_model(self) -> object:
        """None where the reference cannot be scored again, in smaller packs."""


class MemoryRelief:
    """Runs a window again when memory ran out: fewer rows at a time, then smaller KL packs; both change no result.

    Where that is not enough and activations are recomputed already, single rows are cut or left out. Where they are
    not, the error leaves: the process must begin again with checkpointing.

    Args:
        told: what was changed.
        long_rows: "cut" halves the completion of the longest row of the window, "skip" leaves that row out.
        checkpointing: whether activations are recomputed.
        release: gives back what a failed try left; called when its traceback, which holds on to arrays, is gone.

    Attributes:
        changed: windows that memory did not hold as they were, by index.
    """

    def __init__(
        self,
        told: Callable[[Adjusted], None],
        *,
        long_rows: str,
        checkpointing: bool,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._told = told
        self._release = release
        self._cuts = long_rows == "cut"
        self._checkpointing = checkpointing
        self._lines: set[int] = set()
        self.changed: dict[int, Window] = {}

    def run(
        self, step: Step, share: Share, attempt: Callable[[Share], R], forget: Callable[[], None]
    ) -> tuple[R, Share]:
        """The result of ``attempt``, and the rows it was run on.

        Args:
            step: whose sizes are lowered.
            share: the rows of the step.
            attempt: runs the step on rows.
            forget: drops gradients that a failed try left.

        Raises:
            RuntimeError, MemoryError: memory ran out and nothing is left to try here, or another fault.
        """
        if share.index in self.changed:
            share = self._replaced(share, self.changed[share.index])
        index = share.index
        while True:
            try:
                return attempt(share), share
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or share.ranks > 1 or step.reference_model is None:
                    raise
                if not (smaller := self._smaller_packs(step, share)) and not (
                    self._checkpointing and self._has_more(share)
                ):
                    raise
            # Outside the handler: the failed try's arrays hang on its traceback.
            forget()
            self._release()
            if smaller:
                continue
            share = self._fewer_tokens(share)
            if index is not None:
                self.changed[index] = share.rows

    def _tell(self, name: str, before: int, after: int, because: str) -> None:
        because = f"memory ran out; {because}"
        self._told(Adjusted(name=name, before=before, after=after, because=because, by="recovery"))

    def _smaller_packs(self, step: Step, share: Share) -> bool:
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
