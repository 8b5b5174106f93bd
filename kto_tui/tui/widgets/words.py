"""A few lines of text in a place of fixed size."""

from textual.content import Content
from textual.widgets import Static


class Words(Static):
    """Repaints only when something else is to be said, and never lays out the screen for it."""

    said = Content()

    def say(self, content: Content) -> None:
        """Show ``content``."""
        if not content.is_same(self.said):
            self.said = content
            self.update(content, layout=False)
