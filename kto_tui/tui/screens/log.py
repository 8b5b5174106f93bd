"""The end of a worker's log."""

from textual.content import Content

from kto_tui.runs.folder import RunFolder
from kto_tui.tui.screens.lines import LinesScreen
from kto_tui.tui.visible import visible

LINES = 500


class LogScreen(LinesScreen):
    """The last lines, followed while the run goes on."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(
            str(run.log),
            lambda: [Content(visible(line)) for line in run.log_tail(LINES)],
            empty="The log is empty.",
            at_end=True,
        )
