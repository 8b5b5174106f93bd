"""JSON files that are one array, an object with a list inside, or objects over several lines: read element by element.

Only the element at hand is held, so memory is bounded by ``LINE_BYTES`` and not by the file.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kto_tui.data.containers.kind import BrokenFileError, quoted
from kto_tui.data.containers.lines import LINE_BYTES, TOO_LONG
from kto_tui.data.containers.objects import parse, parse_valid
from kto_tui.data.records import Record, Unreadable
from kto_tui.units import MIB

# An element that is longer is not worth a guess where it ends.
_GUESS_BYTES = 64 * 1024
# Strings are passed over in one step; a quote by itself begins one that is not all here yet.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\]]', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,:\[\]{}"]*')
_SPACE = re.compile(rb"[ \t\r\n]*")
_BOUNDARY = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]{1,64}"')
_QUOTE = ord('"')
_LIST = ord("[")
_OPENS = frozenset(b"{[")
# Keys of wrapped data sets, and lists of objects that belong to one record.
LISTS = frozenset({
    "data", "dataset", "entries", "examples", "feedback", "instances", "items", "list", "records", "results", "rows",
    "samples", "train", "training",
})  # fmt: skip
PARTS = frozenset({
    "annotations", "answers", "chat", "chosen", "completion", "completions", "conversation", "conversations", "dialog",
    "dialogue", "functions", "history", "input", "messages", "non_preferred_output", "output", "predictions",
    "preferred_output", "prompt", "rejected", "responses", "suggestions", "tools", "turns",
})  # fmt: skip
Element = tuple[int, dict[str, Any] | str]
ROW_MEND = "Write one object per line, as JSONL"


class _Text:
    """What is not read yet. ``line``: of the place reached."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._text = b""
        self._at = 0
        self._boundary = b""
        self.line = 1

    def _fill(self) -> bool:
        """Add about as much as is there; False at the end."""
        held = self._text[self._at :]
        self._at = 0
        added: list[bytes] = []
        size = 0
        for block in self._blocks:
            added.append(block)
            size += len(block)
            if size >= len(held) or size + len(held) > LINE_BYTES:
                break
        self._text = b"".join([held, *added])
        return size > 0

    def _move(self, to: int) -> None:
        self.line += self._text.count(b"\n", self._at, to)
        self._at = to

    def peek(self) -> bytes:
        """The next byte that is not white space; empty at the end."""
        while True:
            self._move(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def skip(self) -> bytes:
        """Pass that byte and peek at the next."""
        self._at += 1
        return self.peek()

    def holds_objects(self) -> bool:
        """Whether a list of objects begins here."""
        if self._text[self._at] != _LIST:
            return False
        while (end := _SPACE.match(self._text, self._at + 1).end()) == len(self._text) and self._fill():  # type: ignore[union-attr]
            pass
        return self._text[end : end + 1] == b"{"

    def value(self) -> bytes:
        """The bytes of the value that begins here; passes it."""
        length = self._bracketed() if self._text[self._at] in b'{["' else self._scalar()
        raw = self._text[self._at : self._at + length]
        self._move(self._at + length)
        return raw

    def element(self, encoding: str) -> dict[str, Any] | str:
        """The object that begins here, or why there is none; passes it.

        It most likely ends where the next one begins as the last did; that a whole object is found there proves it.
        Else the brackets are followed one by one, which is several times slower.
        """
        if self._boundary and (end := self._text.find(self._boundary, self._at, self._at + _GUESS_BYTES) + 1):
            found = parse_valid(self._text[self._at : end])
            if found is not None:
                self._move(end)
                return found
        raw = self.value()
        if boundary := _BOUNDARY.match(self._text, self._at - 1):
            self._boundary = boundary[0]
        return parse(raw, encoding) if len(raw) <= LINE_BYTES else TOO_LONG

    def _more(self) -> None:
        if len(self._text) - self._at > LINE_BYTES:
            what = f"The element that begins here does not end within {LINE_BYTES // MIB} MiB"
            raise BrokenFileError(what, mend="Close it, or shorten it", line=self.line)
        if not self._fill():
            raise BrokenFileError("The element that begins here is never closed", mend=ROW_MEND, line=self.line)

    def _bracketed(self) -> int:
        depth = 0
        seen = 0
        while True:
            base = self._at
            text = self._text
            for token in _TOKEN.finditer(text, base + seen):
                begin, end = token.span()
                if (char := text[begin]) == _QUOTE:
                    if end == begin + 1:
                        seen = begin - base
                        break
                    if depth == 0:
                        return end - base
                elif char in _OPENS:
                    depth += 1
                else:
                    depth -= 1
                    if depth == 0:
                        return end - base
            else:
                seen = len(text) - base
            self._more()

    def _scalar(self) -> int:
        while True:
            end = _SCALAR.match(self._text, self._at).end()  # type: ignore[union-attr]
            if end < len(self._text):
                break
            if len(self._text) - self._at > LINE_BYTES or not self._fill():
                break
        if end == self._at:
            char = chr(self._text[end])
            raise BrokenFileError(f"There is {char!r} where a value should begin", mend=ROW_MEND, line=self.line)
        return end - self._at


def read_array(blocks: Iterable[bytes], encoding: str, file: int) -> Iterator[Record | Unreadable]:
    """Every element, with the line it begins on. ``blocks``: as ``to_utf8`` yields them.

    Raises:
        BrokenFileError: brackets or commas are wrong, so that nothing after can be trusted.
    """
    text = _Text(blocks)
    first = text.peek()
    for line, found in _elements(text, encoding) if first == b"[" else _object(text, encoding):
        yield Record(line, found, file) if isinstance(found, dict) else Unreadable(line, found, file)


def list_inside(head: bytes) -> str | None:
    """The key of the list that ``read_array`` would take out of an object; None where the object is a record."""
    keys: list[str] = []
    text = _Text([head])
    text.peek()
    try:
        next(_members(text, keys, "utf-8"), None)
    except BrokenFileError:
        return None
    return keys[0] if keys else None


def _elements(text: _Text, encoding: str) -> Iterator[Element]:
    """Elements of the array that begins here; nothing but white space follows its end."""
    yield from _items(text, encoding)
    if text.peek():
        raise BrokenFileError("Something follows the end of the array", mend=ROW_MEND, line=text.line)


def _items(text: _Text, encoding: str) -> Iterator[Element]:
    after = text.skip()
    while after != b"]":
        if not after:
            raise BrokenFileError("The file ends before the array is closed", mend="Copy it again, or close it with ]")
        line = text.line
        yield line, text.element(encoding)
        after = text.peek()
        if after == b",":
            after = text.skip()  # a comma before the closing bracket does no harm
        elif after and after != b"]":
            raise BrokenFileError("A comma is missing before this element", mend=ROW_MEND, line=text.line)
    text.skip()


def _object(text: _Text, encoding: str) -> Iterator[Element]:
    keys: list[str] = []
    while (first := text.peek()) == b"{":
        yield from _members(text, keys, encoding)
    if first:
        raise BrokenFileError("Something follows the end of the object", mend=ROW_MEND, line=text.line)


def _members(text: _Text, keys: list[str], encoding: str) -> Iterator[Element]:
    """Elements of the list inside the object that begins here, or the object itself. ``keys``: of lists so far."""
    line = text.line
    members: list[bytes] = []
    size = 0
    before = len(keys)
    after = text.skip()
    while after != b"}":
        if after != b'"':
            what = "The object is never closed" if not after else "A key in double quotes should stand here"
            raise BrokenFileError(what, mend=ROW_MEND, line=text.line)
        raw = text.value()
        key = raw[1:-1].decode("utf-8", "replace")
        if text.peek() != b":":
            raise BrokenFileError(f"A colon is missing after the key {quoted(key)}", mend=ROW_MEND, line=text.line)
        if not text.skip():
            raise BrokenFileError("The object is never closed", mend=ROW_MEND, line=line)
        if text.holds_objects() and (key in LISTS or (key not in PARTS and not members)):
            keys.append(key)
            if len(keys) > 1:
                mend = "Save the one that holds the rows as a file of its own"
                raise BrokenFileError(
                    f"There are several lists: {', '.join(map(quoted, keys))}", mend=mend, line=text.line
                )
            yield from _items(text, encoding)
        else:
            members.append(raw + b":" + text.value())
            size += len(members[-1])
            if size > LINE_BYTES:
                raise BrokenFileError(f"The object is a record, but {TOO_LONG}", mend="Shorten it", line=line)
        after = text.peek()
        if after == b",":
            after = text.skip()
        elif after != b"}":
            raise BrokenFileError("A comma is missing", mend=ROW_MEND, line=text.line)
    text.skip()
    if len(keys) == before:
        yield line, parse(b"{" + b",".join(members) + b"}", encoding)
