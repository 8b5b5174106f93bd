"""Other people's text on our screen: what a terminal would obey or hide is written out."""

import reprlib

from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import Text

# Not the joiners and variation selectors: Persian and emoji need them.
HIDDEN = (0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF, 0xFFFC)
OBEYED = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
TAB = "    "
_SKETCH = reprlib.Repr()
_SKETCH.maxstring = _SKETCH.maxother = 80
_TABLE = {
    **{code: f"^{chr(code ^ 0x40)}" for code in (*range(0x20), 0x7F)},
    **{code: f"<U+{code:04X}>" for code in (*range(0x80, 0xA0), *HIDDEN, *OBEYED, *range(0xD800, 0xE000))},
    ord("\n"): "\n",
    ord("\t"): TAB,
}


def visible(text: str) -> str:
    """``text`` with control characters as ``^[``, hidden ones and what turns the line round as ``<U+202E>``."""
    return text.replace("\r\n", "\n").translate(_TABLE)


def one_line(text: str, limit: int = 200) -> str:
    """Its beginning on one line."""
    cut = text[:limit].strip()
    return visible(" ".join(cut.split())) + ("…" if len(text) > limit else "")


def sketch(value: object) -> str:
    """Any value of a record as a line, however large or deep it is."""
    return one_line(value if isinstance(value, str) else _SKETCH.repr(value))


def parts(text: Text, plain: str) -> list[tuple[str, str]]:
    """Who says what, in order. ``plain``: what a text without roles is called."""
    if isinstance(text, str):
        return [(plain, _seen(text))]
    return [(message.role, _seen(_said(message))) for message in text]


def _seen(text: str) -> str:
    return text if text.strip() else f"[only white space: {text!r}]"[:80] if text else "[empty]"


def _said(message: Message) -> str:
    calls = f"calls {message.tool_calls}" if message.tool_calls else ""
    return "\n".join(filter(None, (message.content, calls)))
