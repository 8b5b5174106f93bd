"""What a person changes while a run trains: taken from the control file, checked, put into force and recorded."""

from typing import Any

from kto_tui.backends.base import Job
from kto_tui.backends.training.intervals import Intervals
from kto_tui.errors import UserError
from kto_tui.runs.control import Setting
from kto_tui.runs.events import Adjusted, Marked, Noted
from kto_tui.runs.settings import check_setting
from kto_tui.runs.state import RunState


class Changes:
    """What is in force, beginning with the recipe.

    Args:
        job: the run.
        known: of it, before this process.

    Attributes:
        intervals: of the run.
        learning_rate_scale: factor on the planned rate.
        stop_after: the step the run is to end with; None: as planned.
        sample_prompts: answered besides the fixed ones.
    """

    def __init__(self, job: Job, known: RunState) -> None:
        self._job = job
        self._seen: dict[str, Setting] = {}
        # A resumed run takes up what was recorded before without recording it again.
        self._recorded = {change.name: change.after for change in known.adjustments if change.by == "person"}
        # The first look reads the control file from its beginning.
        self._marked = frozenset(note.text for note in known.notes if isinstance(note, Marked))
        self.intervals = Intervals.of(job.config.recipe)
        self.learning_rate_scale = 1.0
        self.stop_after: int | None = None
        self.sample_prompts: tuple[str, ...] = ()

    def look(self, step: int) -> set[str]:
        """Record marks, take up what was asked for since the last look, and return the names of what has changed."""
        for text in self._job.marks():
            if text not in self._marked:
                self._job.emit(Marked(step=step, text=text))
        self._marked = frozenset()
        changed = set()
        for name, asked in self._job.settings().items():
            if name in self._seen and self._seen[name] == asked:
                continue
            self._seen[name] = asked
            try:
                value = check_setting(name, asked)
            except UserError as error:
                self._job.emit(Noted(text=f"Not changed: {error}"))
                continue
            if self._take(name, value, step):
                changed.add(name)
        return changed

    def _take(self, name: str, value: Setting, step: int) -> bool:
        holder: Any = self.intervals if hasattr(self.intervals, name) else self
        before: Setting = getattr(holder, name)
        if before == value:
            return False
        setattr(holder, name, value)
        if name not in self._recorded or self._recorded[name] != value:
            because = f"asked for at step {step}"
            self._job.emit(Adjusted(name=name, before=before, after=value, because=because, by="person"))
        self._recorded[name] = value
        return True


def last_step(job: Job, planned: int) -> int:
    """The step that ends training: as ``planned``, or as asked."""
    asked = job.settings().get("stop_after")
    return min(planned, asked) if isinstance(asked, int) else planned
