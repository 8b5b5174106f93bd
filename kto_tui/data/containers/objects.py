"""One JSON object from its bytes: quickly where it is valid, with a reason where it is not, and no key lost."""

import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import msgspec

from kto_tui.data.containers.encodings import BOM, undecodable
from kto_tui.data.containers.kind import quoted

_decode = msgspec.json.Decoder().decode
# Beyond this many keys one thorough look costs less than one search for each.
_MOST_KEYS = 64
_PLAIN_KEY = re.compile(r"[ !#-.0-\[\]-~]+")
# ASCII written as \u0061 could spell a key in two ways.
_SPELLED = re.compile(rb"\\u00[2-7]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}


class _TwiceError(ValueError):
    pass


def parse(raw: bytes, encoding: str = "utf-8") -> dict[str, Any] | str:
    """The object in ``raw``, or a clause that says why there is none.

    NaN and Infinity are read; half a surrogate pair, which no text can hold, becomes U+FFFD.
    """
    value = parse_valid(raw)
    return value if value is not None else _parse_leniently(raw, encoding)


def parse_valid(raw: bytes) -> dict[str, Any] | None:
    """The object in ``raw`` if it is valid JSON and certainly repeats no key."""
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if type(value) is dict and not _may_repeat(raw, value) else None


@lru_cache(maxsize=4096)
def _quoted(key: str) -> tuple[bytes, bool]:
    return f'"{key}"'.encode(), _PLAIN_KEY.fullmatch(key) is not None


def _may_repeat(raw: bytes, value: dict[str, Any]) -> bool:
    if len(value) > _MOST_KEYS:
        return True
    escaped = b"\\" in raw
    for key in value:
        quoted, plain = _quoted(key)
        if raw.count(quoted) != 1 or (escaped and not plain):
            return True
    return escaped and b"\\u00" in raw and _SPELLED.search(raw) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _TwiceError(f"the key {quoted(twice)} occurs twice")
    return found


def _parse_leniently(raw: bytes, encoding: str) -> dict[str, Any] | str:
    if problem := undecodable(raw, encoding):
        return problem
    try:
        value = json.loads(raw.removeprefix(BOM).decode(), object_pairs_hook=_unique)
        if b"\\u" in raw:
            value = _whole_text(value)
    except json.JSONDecodeError as error:
        return _reason(error)
    except RecursionError:
        return "it is nested too deeply"
    except _TwiceError as error:
        return str(error)
    except ValueError:  # an integer of thousands of digits
        return "it holds a number that is too long"
    if type(value) is not dict:
        return f"it is {_KINDS[type(value)]}, not an object"
    return value


def _reason(error: json.JSONDecodeError) -> str:
    char = error.doc[error.pos : error.pos + 1]
    if char and ord(char) < 0x20 and not char.isspace():
        return f"it holds the control character U+{ord(char):04X} at character {error.pos + 1}"
    if error.doc.lstrip().startswith(("{'", "{ '")):
        return "it is a Python dictionary, not JSON"
    return f"it is not JSON ({error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1})"


def _whole_text(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole_text(item) for item in value]
    if isinstance(value, dict):
        return _unique([(_whole_text(key), _whole_text(item)) for key, item in value.items()])
    return value
