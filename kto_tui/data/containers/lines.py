"""JSON lines: one object a line, read without ever holding more than one long line."""

import re
from collections.abc import Iterable, Iterator

from kto_tui.data.containers.objects import parse
from kto_tui.data.records import Record, Unreadable
from kto_tui.units import MIB

# The longest line, JSON element or quoted cell that is read: some 8 million tokens.
LINE_BYTES = 32 * MIB
TOO_LONG = f"it is longer than {LINE_BYTES // MIB} MiB"
_END = re.compile(rb"[\r\n]")


def split(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None, bool]]:
    """Number, bytes without the line end (None: longer than ``LINE_BYTES``), and whether a line end follows."""
    number = 0
    end = b""
    parts: list[bytes] = []
    held = 0
    for block in blocks:
        # Lines end as the first one does; what old Macs wrote has no line feed at all.
        if not end and (found := _END.search(block)):
            end = b"\r" if found[0] == b"\r" and b"\n" not in block else b"\n"
        first, *others = block.split(end) if end else [block]
        held += len(first)
        if held <= LINE_BYTES:
            parts.append(first)
        else:
            parts.clear()
        if not others:
            continue
        number += 1
        yield number, b"".join(parts) if held <= LINE_BYTES else None, True
        last = others.pop()
        for number, line in enumerate(others, number + 1):  # noqa: B020 - goes on from there
            yield number, line, True
        parts = [last]
        held = len(last)
    if held:
        yield number + 1, b"".join(parts) if held <= LINE_BYTES else None, False


def read_lines(blocks: Iterable[bytes], encoding: str, file: int) -> Iterator[Record | Unreadable]:
    """Every line that is not blank. ``blocks``: as ``to_utf8`` yields them, ``encoding`` as the file has it."""
    for number, line, ended in split(blocks):
        if line is None:
            yield Unreadable(number, TOO_LONG, file)
            continue
        found = parse(line, encoding)
        if type(found) is dict:
            yield Record(number, found, file)
        elif line.strip():
            torn = not ended and not line.rstrip().endswith((b"}", b"]"))
            yield Unreadable(number, "the file ends in the middle of it" if torn else str(found), file)
