"""CSV and TSV: which delimiter, and every record with the line it begins on; nothing is shifted or cut in silence."""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator

from kto_tui.data.containers.encodings import undecodable
from kto_tui.data.containers.kind import BrokenFileError, require_unique
from kto_tui.data.containers.lines import LINE_BYTES, TOO_LONG, split
from kto_tui.data.labels import key
from kto_tui.data.records import Record, Unreadable

DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
# What Excel takes from the first line, and people write there for it.
SAID = re.compile(r"sep=([\t,;|])[\r\n]+")
SNIFFED_ROWS = 100
_LONGEST_NAME = 200
_NAME = re.compile(r"[^\W\d][\w.-]{0,40}")
# Values of a label: no column is called like that, or like the numbers beside others that are no names.
_VALUES = frozenset({"true", "false", "yes", "no", "👍", "👎"})
_NUMBERS = frozenset({"1", "0", "-1"})
QUOTE_MEND = 'Close it, and write a quote inside a cell as ""'


def delimiter(text: str, *, whole: bool) -> tuple[str, float] | None:
    """The delimiter that cuts the most records like the header, and the share of those; None: this is no table.

    Args:
        text: the beginning of the file.
        whole: it is all of it, so that the last record is not cut.
    """
    csv.field_size_limit(LINE_BYTES)
    found = []
    said = SAID.match(text)
    text = text[said.end() :] if said else text
    for char in said[1] if said else DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=char)
        try:
            rows = [row for row in itertools.islice(reader, SNIFFED_ROWS + 1) if row]
        except csv.Error:
            continue
        if not whole and len(rows) > 2 and len(rows) <= SNIFFED_ROWS:
            rows.pop()
        if len(rows) > 1 and (width := len(rows[0])) > 1 and any(name.strip() for name in rows[0]):
            # Many records may be broken where the header is plainly one.
            named = all(_NAME.fullmatch(name) for name in rows[0])
            found.append((sum(len(row) == width for row in rows) / len(rows), width, char, named))
    share, _, char, named = max(found, default=(0.0, 0, "", False))
    return (char, share) if found and (share > 0.5 or named) else None


def read_cells(blocks: Iterable[bytes], encoding: str, char: str, file: int) -> Iterator[Record | Unreadable]:
    """Every record after the header. ``blocks``: as ``to_utf8`` yields them, ``encoding`` as the file has it.

    Raises:
        BrokenFileError: the header names no columns, or a quote is never closed.
    """
    csv.field_size_limit(LINE_BYTES)
    bad: dict[int, str] = {}  # lines of the record at hand that are no text, and why
    rows = csv.reader(_lines(blocks, encoding, bad), delimiter=char, strict=True)
    header: list[str] = []
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise BrokenFileError("The quote opened here is never closed", mend=QUOTE_MEND, line=line) from None
            if not header:
                raise BrokenFileError(
                    f"The column names cannot be read ({error})", mend=QUOTE_MEND, line=line
                ) from None
            yield Unreadable(line, _reason(error, line, rows.line_num), file)
            bad.clear()
            continue
        if (len(cells) < 2 and not "".join(cells).strip()) or (line == 1 and cells == ["sep=", ""]):
            continue
        if not header:
            header = _names(cells, line)
        elif bad:
            yield Unreadable(line, next(iter(bad.values())), file)
        elif len(cells) == len(header):
            yield Record(line, dict(zip(header, cells, strict=True)), file)
        else:
            yield Unreadable(line, f"it has {_cells(len(cells))} where the header has {len(header)}", file)
        bad.clear()
    if not header:
        raise BrokenFileError("The file has no header", mend="Begin it with a line of column names")


def _cells(count: int) -> str:
    return f"{count} cell{'s' * (count != 1)}"


def _reason(error: csv.Error, first: int, last: int) -> str:
    what = {"new-line": "there is a carriage return inside it", "'": "a quote inside a cell is not doubled"}
    clause = next((text for begin, text in what.items() if str(error).startswith(begin)), str(error))
    return clause if first == last else f"{clause}; it reaches to line {last}"


def _lines(blocks: Iterable[bytes], encoding: str, bad: dict[int, str]) -> Iterator[str]:
    for number, line, ended in split(blocks):
        if line is None:
            raise BrokenFileError(f"The line is no record: {TOO_LONG}", mend=QUOTE_MEND, line=number)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            bad[number] = undecodable(line, encoding) or ""
            text = line.decode("utf-8", "replace")
        yield f"{text}\n" if ended else text


def _names(cells: list[str], line: int) -> list[str]:
    """Column names; one without a name, as pandas writes its index, is called by its place."""
    named = all(_NAME.fullmatch(cell) for cell in cells if key(cell) not in _NUMBERS)
    values = _VALUES if named else _VALUES | _NUMBERS
    if any(len(cell) > _LONGEST_NAME or "\n" in cell or key(cell) in values for cell in cells):
        mend = "Add a first line with a name for each column"
        raise BrokenFileError("The first line holds data, not column names", mend=mend, line=line)
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, 1)]
    require_unique(names, line)
    return names
