"""What screens tell the application; it alone knows which screen comes next."""

from typing import TYPE_CHECKING, Literal

from textual.message import Message

from kto_tui.runs.folder import RunFolder
from kto_tui.runs.state import RunState

if TYPE_CHECKING:  # whoever only watches a run waits for none of it
    from kto_tui.draft import Draft

Step = Literal["Hardware", "Model", "Data", "Recipe", "Review"]


class StepRequested(Message):
    """A wizard step is to be shown with ``draft``."""

    def __init__(self, step: Step, draft: "Draft") -> None:
        super().__init__()
        self.step = step
        self.draft = draft


class RunOpened(Message):
    """The live screen of ``run`` is to replace the current screen."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run


class LogRequested(Message):
    """The log of ``run`` is to be shown on top."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run


class ResultsRequested(Message):
    """The results of ``run`` as of ``state`` are to be shown on top."""

    def __init__(self, run: RunFolder, state: RunState) -> None:
        super().__init__()
        self.run = run
        self.state = state


class RunsRequested(Message):
    """The list of runs is to be shown on top."""


class Left(Message):
    """The person wants to leave; ``farewell`` is printed once the terminal is theirs again."""

    def __init__(self, farewell: str | None = None) -> None:
        super().__init__()
        self.farewell = farewell
