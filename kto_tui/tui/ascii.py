"""Plain 7-bit drawing for terminals that cannot show more, applied to every line as the last step."""

import locale
import os
from collections.abc import Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_PAIRS = {
    "·": "|", "…": ".", "–": "-", "—": "-", "─": "-", "│": "|", "┃": "|", "▎": "|", "▏": "|", "▕": "|", "║": "|",
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": "#", "▐": "#", "▓": "#", "▒": "=", "░": "-", "■": "#",
    "□": ".", "▪": ".", "═": "=", "━": "-", "╭": "+", "╮": "+",
    "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "▔": "-", "▁": "_", "▂": "_", "▃": "_", "▄": "_", "▅": "#",
    "▆": "#", "▇": "#", "▀": "-", "°": "'", "±": "~", "→": ">", "←": "<", "↑": "^", "↓": "v", "❯": ">", "•": "*",
    "“": '"', "”": '"', "‘": "'", "’": "'", "×": "x", "β": "b", "✓": "v", "╸": "-", "╺": "-", "▶": ">", "▼": "v",
}  # fmt: skip
_TABLE = {ord(char): plain for char, plain in _PAIRS.items()}


def ascii_only() -> bool:
    """Whether this terminal gets 7-bit characters: asked for, a locale that is not UTF-8, or the Linux console."""
    asked = os.environ.get("KTO_TUI_ASCII", "")
    if asked:
        return asked.lower() not in {"0", "no", "false"}
    return locale.getencoding().lower().replace("-", "") != "utf8" or os.environ.get("TERM") == "linux"


class AsciiFilter(LineFilter):
    """Replaces every character outside 7-bit ASCII, one cell for one cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        """The same line in 7-bit characters."""
        return [
            segment if segment.text.isascii() else Segment(plain(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def plain(text: str) -> str:
    """``text`` in 7-bit ASCII; a character without a look-alike becomes a question mark (or two, when it is wide)."""
    from rich.cells import cell_len

    mapped = text.translate(_TABLE)
    return mapped if mapped.isascii() else "".join(c if c.isascii() else "?" * cell_len(c) for c in mapped)


def with_ascii(filters: Sequence[LineFilter], *, wanted: bool) -> list[LineFilter]:
    """``filters``, followed by the ASCII filter where it is wanted."""
    return [*filters, AsciiFilter()] if wanted else list(filters)
