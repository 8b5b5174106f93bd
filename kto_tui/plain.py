"""7-bit characters for terminals that cannot show more: the wizard's screens and the commands' lines alike."""

import codecs
import locale
import os
import re

_PAIRS = {
    "·": "|", "…": ".", "–": "-", "—": "-", "─": "-", "│": "|", "┃": "|", "▎": "|", "▏": "|", "▕": "|", "║": "|",
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": "#", "▐": "#", "▓": "#", "▒": "=", "░": "-", "■": "#",
    "□": ".", "▪": ".", "═": "=", "━": "-", "╭": "+", "╮": "+",
    "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "▔": "-", "▁": "_", "▂": "_", "▃": "_", "▄": "_", "▅": "#",
    "▆": "#", "▇": "#", "▀": "-", "°": "'", "±": "~", "→": ">", "←": "<", "↑": "^", "↓": "v", "❯": ">", "•": "*",
    "“": '"', "”": '"', "‘": "'", "’": "'", "×": "x", "β": "b", "✓": "v", "╸": "-", "╺": "-", "▶": ">", "▼": "v",
}  # fmt: skip
COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
_TABLE = {ord(char): plain for char, plain in _PAIRS.items()}


def ascii_only() -> bool:
    """Whether this terminal gets 7-bit characters: asked for, a locale that is not UTF-8, or the Linux console."""
    asked = os.environ.get("KTO_TUI_ASCII", "")
    if asked:
        return asked.lower() not in {"0", "no", "false"}
    # Python itself sets LC_CTYPE where LANG is C (PEP 538); what the person's terminal shows is not changed by that.
    if os.environ.get("LANG") in {"C", "POSIX"} and os.environ.get("LC_CTYPE", "") in COERCED:
        return True
    return locale.getencoding().lower().replace("-", "") != "utf8" or os.environ.get("TERM") == "linux"


def plain(text: str) -> str:
    """``text`` in 7-bit ASCII; a character without a look-alike becomes a question mark (or two, when it is wide)."""
    mapped = text.translate(_TABLE)
    if mapped.isascii():
        return mapped
    from rich.cells import cell_len

    return "".join(c if c.isascii() else "?" * cell_len(c) for c in mapped)


# What moves a terminal's cursor, changes its state or turns the order of letters round; lone surrogates besides.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str, keep: str = "") -> str:
    """Somebody else's ``text`` as it may be printed: control characters as ``\\x1b``, those in ``keep`` as they are."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(), text)


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


# As ``errors`` of a text stream: what its encoding lacks is written by its look-alike.
LOOK_ALIKE = "kto-tui.look-alike"
codecs.register_error(LOOK_ALIKE, _look_alike)
