"""Plain 7-bit drawing of the screens, applied to every line as the last step."""

from collections.abc import Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from kto_tui.plain import plain


class AsciiFilter(LineFilter):
    """Replaces every character outside 7-bit ASCII, one cell for one cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        """The same line in 7-bit characters."""
        return [
            segment if segment.text.isascii() else Segment(plain(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def with_ascii(filters: Sequence[LineFilter], *, wanted: bool) -> list[LineFilter]:
    """``filters``, followed by the ASCII filter where it is wanted."""
    return [*filters, AsciiFilter()] if wanted else list(filters)
