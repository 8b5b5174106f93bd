"""How text is encoded: found out from a sample, and turned into UTF-8 whose bad bytes stay visible."""

import codecs
import re
from collections.abc import Iterable, Iterator

from kto_tui.data.containers.kind import BrokenFileError

BOM = "\ufeff".encode()
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_LETTERS = re.compile(rb"[^\x00-\x7f]")
# What text on people's disks is in; codecs that fit nearly any bytes are left out.
_USUAL = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r",
    "koi8_u", "mac_roman", "cp932", "shift_jis", "euc_jp", "gb18030", "big5", "cp949", "euc_kr",
]  # fmt: skip
_RARE = 0.01
_GUESS_BYTES = 32 * 1024
TITLES = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32": "UTF-32"}


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Each byte that cannot be decoded becomes U+DC00 + byte, which no decoder yields by itself."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


MARK = "kto-tui.mark"
codecs.register_error(MARK, _mark)


def canonical(name: str, head: bytes) -> str:
    """The codec called ``name``, its byte order as ``head`` has it.

    Raises:
        BrokenFileError: there is no such text encoding.
    """
    try:
        codec = codecs.lookup(name.replace("escape", "?"))  # codecs for programs, not for text
        sample = "a,\n".encode(name)
        codecs.getincrementaldecoder(name)(MARK).decode(sample, final=True)
    except (LookupError, ValueError, TypeError):
        mend = "Use a name like utf-8, utf-16, cp1252 or shift_jis"
        raise BrokenFileError(f"There is no text encoding called {name!r}", mend=mend) from None
    if codec.name in {"utf-16", "utf-32"} and not any(head.startswith(mark) for mark, _ in _MARKS):
        return f"{codec.name}-be" if head.startswith(b"\0") else f"{codec.name}-le"
    return "utf-8" if codec.name == "utf-8-sig" else codec.name


def detect(head: bytes, spots: Iterable[bytes] = ()) -> tuple[str, float, str]:
    """Encoding, confidence and reason, from the beginning of a text and from whole lines further on."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, 1.0, "it begins with a byte order mark"
    if wide := _wide(head):
        return wide, 0.95, "every other byte is zero"
    pieces = [_whole(head), *spots]
    if all(map(_is_utf8, pieces)):
        return "utf-8", 1.0, ""
    lines = [line for piece in pieces for line in piece.split(b"\n")]
    foreign = [line for line in lines if _LETTERS.search(line)]
    broken = [line for line in foreign if not _is_utf8(line)]
    # What is valid UTF-8 beyond ASCII is so by design; JSON is UTF-8 by definition, so a rare odd line there is damage.
    rare = len(broken) <= max(1, len(lines) * _RARE) and len(lines) > 3
    damaged = rare and head.lstrip()[:1] in {b"{", b"["}
    if damaged or 2 * len(broken) <= len(foreign):
        return "utf-8", 0.9, "a few bytes of it are not UTF-8"
    name = _guess(b"\n".join(broken)[:_GUESS_BYTES])
    return name, 0.6, f"it is not UTF-8 and reads well as {name}; choose another encoding if letters look wrong"


def _wide(head: bytes) -> str | None:
    half = len(head) // 2
    zeros = {"utf-16-be": head[0::2].count(0), "utf-16-le": head[1::2].count(0)}
    for name, other in (("utf-16-le", "utf-16-be"), ("utf-16-be", "utf-16-le")):
        if zeros[name] > max(2, 0.05 * half) and zeros[name] > 4 * zeros[other]:
            return name
    return None


def _whole(head: bytes) -> bytes:
    """Without a character that was cut at the end."""
    for cut in range(1, min(4, len(head)) + 1):
        if head[-cut] >= 0xC0:
            return head[:-cut]
        if head[-cut] < 0x80:
            break
    return head


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes) -> str:
    import charset_normalizer

    matches = charset_normalizer.from_bytes(sample, cp_isolation=_USUAL)
    names = [name for match in matches for name in match.could_be_from_charset]
    # Western text reads well in the codings of its neighbours, too, and is by far the most common.
    return "cp1252" if not names or "cp1252" in names else codecs.lookup(names[0]).name


def to_utf8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """``blocks`` of any encoding as UTF-8 without a byte order mark; bad bytes become other bytes that are no UTF-8."""
    turned = iter(blocks) if encoding == "utf-8" else _transcode(blocks, encoding)
    head = b""
    for block in turned:
        head += block
        if len(head) >= len(BOM):
            break
    if head := head.removeprefix(BOM):
        yield head
    yield from turned


def _transcode(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(MARK)
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def undecodable(line: bytes, encoding: str) -> str | None:
    """Why ``line``, as it comes from ``to_utf8``, is no text in ``encoding``; None where it is."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        marked = line.decode("utf-8", "surrogatepass" if encoding != "utf-8" else "replace")
        byte = next((ord(char) & 0xFF for char in marked if "\udc00" <= char <= "\udcff"), line[error.start])
        return f"the byte 0x{byte:02X} is not {TITLES.get(encoding, encoding)}"
    return None
