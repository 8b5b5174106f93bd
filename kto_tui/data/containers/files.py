"""What one file is, told by its content; its name decides nothing."""

import re
from pathlib import Path

import msgspec

from kto_tui.data.containers import encodings
from kto_tui.data.containers.arrays import list_inside
from kto_tui.data.containers.cells import DELIMITERS, delimiter
from kto_tui.data.containers.foreign import foreign
from kto_tui.data.containers.kind import TITLES, BrokenFileError, Compression, Kind, Sniffed, place, quoted
from kto_tui.data.containers.objects import parse
from kto_tui.data.containers.stream import AGAIN, GZIP, Source
from kto_tui.data.containers.tables import ARROW, CONTINUATION, PARQUET
from kto_tui.errors import UserError
from kto_tui.units import MIB

HEAD_BYTES = MIB
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_SPOTS = 8
_SPOT_BYTES = 32 * 1024
_SNIFFED_LINES = 50
# Within so much of an object its list of rows begins.
_KEYS = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_DICTIONARY = re.compile(r"\s*[\[{]\s*(?:\{\s*)?'")
ACCEPTED = "JSON lines, a JSON array, CSV, TSV, Parquet or Arrow"


class _Found(msgspec.Struct, frozen=True):
    kind: Kind
    confidence: float
    because: str
    delimiter: str = ""


def sniff_file(path: Path, encoding: str | None = None, head_bytes: int = HEAD_BYTES) -> Sniffed:
    """What the regular file ``path`` is; reads ``head_bytes`` (unpacked) of it and a few spots further on.

    Raises:
        UserError: it is no data, empty, damaged at the very beginning, or cannot be read.
    """
    try:
        compression, head, whole, size = _head(path, head_bytes)
        if head.startswith((PARQUET, ARROW, CONTINUATION)):
            found, encoding = _table(path, head, compression, size), "utf-8"
        else:
            _require_data(head, compression)
            found, encoding = _text(path, head, encoding, whole=whole, spots=not compression)
    except BrokenFileError as error:
        raise UserError(error.what, mend=error.mend, where=place(path, error.line)) from None
    cells = DELIMITERS[found.delimiter] if found.kind == "csv" and found.delimiter != "," else ""
    is_text = found.kind not in {"parquet", "arrow"}
    parts = [TITLES[found.kind], cells, compression, encodings.TITLES.get(encoding, encoding) if is_text else ""]
    return Sniffed(
        path=path,
        kind=found.kind,
        title=", ".join(filter(None, parts)),
        confidence=round(found.confidence, 2),
        because=found.because,
        files=(path,),
        encoding=encoding,
        compression=compression,
        bytes_total=size,
        delimiter=found.delimiter,
    )


def _head(path: Path, size: int) -> tuple[Compression, bytes, bool, int]:
    """Compression, unpacked beginning, whether that is all, and the size on disk."""
    with Source(path) as source:
        packed = next(iter(source), b"")
    if not packed:
        raise BrokenFileError("The file is empty", mend="Name a file that holds rows")
    compression: Compression = "gzip" if packed.startswith(GZIP) else "zstd" if _ZSTD.match(packed) else ""
    head = b""
    with Source(path, compression) as source:
        try:
            for block in source:
                head += block
                if len(head) > size:
                    return compression, head[:size], False, source.size
        except BrokenFileError:
            if head:  # the reader says where it breaks
                return compression, head, False, source.size
            raise
        if not head:
            raise BrokenFileError(f"The {compression} file is empty inside", mend="Name a file that holds rows")
        if compression and (head.startswith(GZIP) or _ZSTD.match(head)):
            raise BrokenFileError("The file is compressed twice", mend="Unpack it once")
        return compression, head, True, source.size


def _require_data(head: bytes, compression: Compression) -> None:
    if it := foreign(head):
        inside = f" inside {compression}" if compression else ""
        raise BrokenFileError(f"This is {it[0]}{inside}, not a data file", mend=it[1])


def _table(path: Path, head: bytes, compression: Compression, size: int) -> _Found:
    is_stream = head.startswith(CONTINUATION)
    name = "Parquet" if head.startswith(PARQUET) else "Arrow"
    if compression:
        raise BrokenFileError(f"This is an {name} file inside {compression}", mend="Unpack it and name the file inside")
    if is_stream:
        return _Found("arrow", 0.95, "it begins like an Arrow stream")
    magic = PARQUET if name == "Parquet" else ARROW
    with Source(path) as source:
        source.raw.seek(max(0, size - len(magic)))
        tail = source.raw.read(len(magic))
    if tail != magic or size < 2 * len(magic):
        raise BrokenFileError(f"The {name} file is cut off: its end is missing", mend=AGAIN)
    return _Found("parquet" if magic == PARQUET else "arrow", 1.0, f"it begins and ends with {magic.decode()}")


def _text(path: Path, head: bytes, chosen: str | None, *, whole: bool, spots: bool) -> tuple[_Found, str]:
    if chosen is None:
        encoding, sure, why = encodings.detect(head, _spots(path) if spots and not whole else ())
    else:
        encoding, sure, why = encodings.canonical(chosen, head), 1.0, ""
    text = b"".join(encodings.to_utf8([head], encoding)).decode("utf-8", "replace")
    if not text.strip():
        if whole:
            raise BrokenFileError("The file holds nothing but white space", mend="Name a file that holds rows")
        raise BrokenFileError(f"The first {len(head) // MIB} MiB are white space", mend="Name a file that holds rows")
    found = _json(text, whole=whole) or _cells(text, whole=whole)
    if found is None:
        if len(_CONTROL.findall(text[:4096])) * 10 > len(text[:4096]):
            raise BrokenFileError("This is binary data of an unknown kind", mend=f"Name a file of {ACCEPTED}")
        raise BrokenFileError("This text holds no records", mend=f"Name a file of {ACCEPTED}")
    because = f"{found.because}; {why}" if why else found.because
    return msgspec.structs.replace(found, confidence=found.confidence * sure, because=because), encoding


def _spots(path: Path) -> list[bytes]:
    """Whole lines from places all over the file."""
    found = []
    with Source(path) as source:
        for index in range(1, _SPOTS + 1):
            source.raw.seek(max(0, source.size * index // _SPOTS - _SPOT_BYTES))
            _, _, rest = source.raw.read(_SPOT_BYTES).partition(b"\n")
            found.append(rest.rpartition(b"\n")[0])
    return found


def _json(text: str, *, whole: bool) -> _Found | None:
    lines = [line for line in re.split("[\r\n]+", text) if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()
    first = lines[0].strip()
    sample = [line.encode("utf-8", "replace") for line in lines[:_SNIFFED_LINES]]
    good = sum(isinstance(parse(line), dict) for line in sample)
    if first.startswith("{") and good and isinstance(parse(sample[0]), dict):
        if len(lines) == 1 and (name := list_inside(sample[0][:_KEYS])):
            return _Found("json", 0.9, f"it is one JSON object with its rows under {quoted(name)}")
        share = good / len(sample)
        which = f"each of the first {good} lines" if share == 1 and good > 1 else f"{good} of {len(sample)} lines"
        return _Found("jsonl", share, f"{which if len(sample) > 1 else 'its one line'} is a JSON object")
    if good * 2 > len(sample):
        return _Found("jsonl", good / len(sample), f"{good} of {len(sample)} lines are JSON objects")
    return _json_document(text, lines, good, whole=whole) if first[:1] in {"[", "{"} else None


def _json_document(text: str, lines: list[str], good: int, *, whole: bool) -> _Found:
    if _DICTIONARY.match(text):
        what = "These are Python dictionaries, not JSON"
        raise BrokenFileError(what, mend="Write each with json.dumps instead of str", line=1)
    first = lines[0].strip()
    if first.startswith("["):
        if len(lines) > 1 and first.endswith("]") and lines[1].lstrip().startswith("["):
            return _Found("jsonl", 0.3, "its lines are JSON lists")
        return _Found("json", 0.95 if text.lstrip()[1:].lstrip()[:1] in {"{", "]", ""} else 0.5, "it is a JSON array")
    name = list_inside(text[:_KEYS].encode("utf-8", "replace"))
    cut = len(lines) == 1 and not whole
    if (first.endswith(("{", "[", ",", ":")) and not cut) or (len(lines) == 1 and name):
        what = f"one JSON object with its rows under {quoted(name)}" if name else "JSON objects over several lines"
        return _Found("json", 0.9 if name else 0.7, f"it is {what}")
    begun = sum(line.lstrip().startswith("{") for line in lines)
    return _Found("jsonl", 0.5 * max(good, 1) / len(lines), f"{begun} of {len(lines)} lines begin like a JSON object")


def _cells(text: str, *, whole: bool) -> _Found | None:
    if (cut := delimiter(text, whole=whole)) is None:
        return None
    char, share = cut
    because = f"{DELIMITERS[char]} cut {share:.0%} of its first lines like its header"
    return _Found("tsv" if char == "\t" else "csv", 0.9 * share, because, char)
