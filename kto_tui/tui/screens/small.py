"""Shown while the terminal is smaller than the wizard needs."""

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

SENTENCE = (
    "This terminal is smaller than 80 columns by 24 rows. Make it larger to go on; a running training is not affected."
)


class TooSmallScreen(Screen[None]):
    """One sentence; goes away by itself."""

    def compose(self) -> ComposeResult:
        """The sentence."""
        yield Static(SENTENCE)
