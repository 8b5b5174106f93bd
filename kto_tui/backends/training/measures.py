"""Held-out scores and answers to prompts, which tell of a training and never end one."""

import contextlib
from collections.abc import Callable
from typing import Protocol

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.faults import first_line, is_out_of_memory
from kto_tui.backends.training.answers import Sampler
from kto_tui.runs.events import AnyEvent, Evaluated, Noted
from kto_tui.runs.state import RunState


class Heldout(Protocol):
    """Scores the held-out rows under the model as it stands."""

    def evaluate(self, step: int) -> Evaluated:
        """The event that reports them after ``step``."""


class Measures:
    """Takes them and tells the run; what memory does not hold, or a request interrupts, is left out.

    Args:
        job: the run.
        heldout: scores the held-out rows; None where there are none.
        sampler: answers the prompts.
    """

    def __init__(self, job: Job, heldout: Heldout | None, sampler: Sampler) -> None:
        self._job = job
        self._heldout = heldout
        self._sampler = sampler

    def ask_base(self, known: RunState) -> None:
        """Let the base model answer the prompts, unless what is ``known`` of the run has its answers."""
        past = [sampled for sampled in known.samples if sampled.step == 0]
        if not past or not self._sampler.recall(past[-1].answers):
            self._job.enter("asking the base model")
            self.sample(0)

    def evaluate(self, step: int) -> None:
        """Score the held-out rows after ``step``."""
        if self._heldout is not None:
            heldout = self._heldout
            self._tell("The held-out rows could not be scored", step, lambda: heldout.evaluate(step))

    def sample(self, step: int) -> None:
        """Answer the prompts after ``step``; 0: by the base model."""
        self._tell("The prompts could not be answered", step, lambda: self._sampler.sample(step))

    def ask_besides(self, prompts: tuple[str, ...]) -> None:
        """Answer these besides the fixed prompts from now on, and let the base model answer those it has not yet."""
        if self._sampler.ask_besides(prompts):
            self.sample(0)

    def _tell(self, failed: str, step: int, take: Callable[[], AnyEvent]) -> None:
        # Whoever looks next acts on a request that interrupts; nothing learnt is lost by it.
        with contextlib.suppress(StopRequested):
            try:
                event = take()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                event = Noted(text=f"{failed} at step {step}: memory ran out ({first_line(error)})")
            self._job.emit(event)
