"""What is seen of a row while a file streams by; called for every row of it, so a few microseconds at most."""

import string

import msgspec
import xxhash

from kto_tui.data.checks.echo import repeats_prompt
from kto_tui.data.checks.facts import Flag
from kto_tui.data.shapes.form import RawRow

# White space, and what shows nothing either: zero-width characters, byte order mark, word joiner, Hangul fillers.
_BLANK = (
    string.whitespace
    + "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\u2800"
    + "".join(map(chr, (*range(0x2000, 0x2010), 0x00AD, 0x2060, 0x3164, 0xFEFF, 0xFFA0, 0x115F, 0x1160, 0x180E)))
)
_FIRST = frozenset(_BLANK)
_NONE = Flag(0)
_encode = msgspec.msgpack.Encoder().encode


def flags_of(raw: RawRow) -> Flag:
    """What is wrong with a row, as far as it is seen at once: empty texts, a completion that repeats the prompt."""
    found = _NONE
    if _empty_prompt(raw):
        found |= Flag.EMPTY_PROMPT
    if _empty_completion(raw):
        return found | Flag.EMPTY_COMPLETION
    return found | Flag.REPEATS_PROMPT if repeats_prompt(raw) else found


def hashes_of(raw: RawRow) -> tuple[int, int]:
    """64-bit hashes of the content (prompt, completion, tools) and of the prompt.

    The same in every process and version: XXH3 over the MessagePack of the parts, which leaves out the fields of
    messages that are not set.
    """
    try:
        asked, answered = _encode(raw.prompt), _encode((raw.completion, raw.tools))
    except UnicodeEncodeError:  # a lone surrogate
        asked, answered = (repr(part).encode() for part in (raw.prompt, (raw.completion, raw.tools)))
    return xxhash.xxh3_64_intdigest(asked + answered), xxhash.xxh3_64_intdigest(asked)


def is_blank(text: str) -> bool:
    """Whether a text shows nothing."""
    return not text or (text[0] in _FIRST and not text.strip(_BLANK))


def _empty_prompt(raw: RawRow) -> bool:
    """A system prompt alone asks something; beside other turns it does not."""
    prompt = raw.prompt
    if isinstance(prompt, str):
        return is_blank(prompt)
    alone = True
    for turn in prompt:
        if turn.role != "system":
            if not is_blank(turn.content) or turn.tool_calls:
                return False
            alone = False
    return not alone or all(is_blank(turn.content) for turn in prompt)


def _empty_completion(raw: RawRow) -> bool:
    completion = raw.completion
    if isinstance(completion, str):
        return is_blank(completion)
    for turn in completion:
        if turn.role == "assistant" and (not is_blank(turn.content) or turn.tool_calls):
            return False
    return True
