"""Characters nobody meant to write: UTF-8 that was read as Windows-1252 or Latin-1, and control characters."""

import re
import unicodedata
from collections.abc import Iterator

# Each byte from 0x80 on as the two encodings show it; the five that Windows-1252 lacks are shown as Latin-1 does.
_BYTES = {bytes([byte]).decode("cp1252", "ignore") or chr(byte): byte for byte in range(0x80, 0x100)}
_BYTES |= {chr(byte): byte for byte in range(0x80, 0x100)}
_NEXT = re.escape("".join(shown for shown, byte in _BYTES.items() if byte < 0xC0))
_SCRAMBLED = f"(?:[\u00c2-\u00df][{_NEXT}]|[\u00e0-\u00ef][{_NEXT}]{{2}}|[\u00f0-\u00f4][{_NEXT}]{{3}})+"
_RUN = re.compile(_SCRAMBLED)
# What may well follow a letter with an accent in sound text.
_QUOTES = frozenset("\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2026\u2022\u2039\u203a\u00ab\u00bb\u2122\u00b7")
_LOST = "\ufffd"

# Spaces and marks that lay text out stay; sequences that colour a terminal go as a whole.
_CONTROL = (
    "\x1b\\[[0-9;?]*[ -/]*[@-~]|[\x0b\x0c\x1c-\x1e\x85]"
    "|[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u202d\u202e\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
# A scrambled character may hold one, which belongs to it.
_CONTROLS = re.compile(f"(?P<run>{_SCRAMBLED})|{_CONTROL}")
_BREAKS = frozenset("\x0b\x0c\x1c\x1d\x1e\x85")


def scrambled_in(text: str) -> str | None:
    """The first run of characters that stands for others, or the mark of a lost one."""
    if text.isascii():
        return None
    for run in _RUN.finditer(text):
        if _meant(run) is not None:
            return run[0]
    return _LOST if _LOST in text else None


def unscramble(text: str) -> str:
    """``text`` with the characters that were meant; what is lost stays lost."""
    before = None
    while text != before and not text.isascii():  # text may have been read wrongly more than once
        before = text
        text = _RUN.sub(lambda run: run[0] if (meant := _meant(run)) is None else meant, text)
    return text


def control_in(text: str) -> str | None:
    """The first control character, by its code."""
    if text.replace("\n", "").replace("\t", "").isprintable():  # ten times as fast
        return None
    return next((f"U+{ord(found[0][0]):04X}" for found in _controls(text)), None)


def clean(text: str) -> str:
    """``text`` without control characters; those that break lines become line ends."""
    before = None
    while text != before:
        before = text
        parts: list[str] = []
        end = 0
        for found in _controls(text):
            parts += [text[end : found.start()], "\n" if found[0] in _BREAKS else ""]
            end = found.end()
        text = "".join([*parts, text[end:]])
    return text


def _controls(text: str) -> Iterator[re.Match[str]]:
    position = 0
    while found := _CONTROLS.search(text, position):
        position = found.end()
        if found["run"] is None:
            yield found
        elif _meant(found) is None:
            position = found.start() + 1


def _meant(run: re.Match[str]) -> str | None:
    """What a run of such characters stands for; None where it may stand for itself."""
    shown = run[0]
    try:
        meant = bytes(_BYTES[char] for char in shown).decode()
    except UnicodeDecodeError:
        return None
    if any(unicodedata.category(char) in {"Cc", "Cn", "Co"} for char in meant):
        return None
    if len(meant) > 1:
        return meant
    if shown[0] in "\u00e2\u00ef\u00f0":  # punctuation and symbols, full-width forms, emoji: three or four in a row
        return meant
    if shown[0] not in "\u00c2\u00c3\u00c4\u00c5":  # one letter of another script alone is no word
        return None
    text, begin, end = run.string, run.start(), run.end()
    if shown[1] in _QUOTES:
        inside = begin > 0 and text[begin - 1].isalpha() and text[end : end + 1].isalpha()
        return meant if inside and meant.islower() else None
    # A capital after capitals stands for itself.
    return None if text[max(0, begin - 2) : begin].isupper() and begin > 1 and not meant.isupper() else meant
