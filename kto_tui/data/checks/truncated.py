"""Answers that break off. Only what can hardly be meant counts: short answers, lists, code, verse end as they like."""

import re

_FENCE = re.compile(r"^[ \t>]*```(.*)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]*]*(?=\s)|[。！？]")  # noqa: RUF001 - full-width marks end sentences too
_ENDED = re.compile(r"[.!?:…。！？][\"'”’)\]*`_]*\s*\Z")  # noqa: RUF001 - as above
_MARK = r"[ \t]*(?:\d{1,3}[.)]|[-*•+])"
_BARE_MARK = re.compile(rf"\n{_MARK}[ \t]*\Z")
_ITEM = re.compile(rf"^{_MARK}[ \t]+(\S.*)$", re.MULTILINE)
_NO_PROSE = re.compile(r"(?:[ \t]*(?:[-*+•#|>$\u2500-\u257f]|\d{1,3}[.)]|[A-Za-z][.)])|\t| {4})|.*[{};=<>\\|/@_`$]")
# No sentence, heading or name ends with these.
_OPEN_WORDS = frozenset({
    "the", "an", "of", "and", "or", "nor", "their", "your", "my", "its", "our", "every", "und", "oder", "eine", "einer",
    "einem", "einen", "les", "des", "une", "los", "las", "una", "del", "della", "dos", "et", "ou",
})  # fmt: skip
# Not even short answers do; others of them are words that end sentences in a neighbour language.
_ALWAYS_OPEN = frozenset({"the", "of", "and", "or", "nor", "their", "your", "its", "our", "every", "und", "oder"})
_NO_WORD = re.compile(r"://|^[#@]")
_FACE = re.compile(r"[:;=]'?-?[(\[]|[(\[]-?[:;=]")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
# Thai, Lao, Tibetan, Burmese, Khmer: their sentences end without a mark.
_UNMARKED = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")

LEAST_CHARACTERS = 100
LEAST_WIDE_CHARACTERS = 80
LEAST_SENTENCES = 2
LEAST_WORDS = 4
LEAST_OPEN_WORDS = 5
PROSE_WORDS = 8


def is_truncated(text: str) -> bool:
    """Whether ``text`` breaks off: in code, in brackets, at a list mark, or in a sentence where others are ended."""
    text = text.rstrip()
    if "```" in text and _in_code(text):
        return True
    wide = _WIDE.search(text[-20:]) is not None
    if text[:1].isupper() and _is_open(text[text.rfind("\n") + 1 :].split()):
        return True
    if len(text) < (LEAST_WIDE_CHARACTERS if wide else LEAST_CHARACTERS) or _ENDED.search(text[-8:]):
        return _BARE_MARK.search(text[-8:]) is not None and len(text) >= LEAST_CHARACTERS
    if _BARE_MARK.search(text[-8:]) or _in_brackets(text):
        return True
    last = text[-1]
    if not (last.isalpha() or last in ",，、") or _UNMARKED.match(last):  # noqa: RUF001 - full-width commas
        return False
    line = text[text.rfind("\n") + 1 :]
    ends = len(_SENTENCE_END.findall(text))
    if wide:
        return ends >= LEAST_SENTENCES and _NO_PROSE.match(line) is None
    words = line.split()
    if len(words) >= LEAST_WORDS and words[-1] in _OPEN_WORDS:
        return True
    if item := _ITEM.fullmatch(line):
        return _in_item(text[: -len(line)], item[1])
    prose = len(words) >= PROSE_WORDS and _NO_WORD.search(words[-1]) is None and _NO_PROSE.match(line) is None
    return prose and ends >= LEAST_SENTENCES and _ends_lines(text[: -len(line)])


def _is_open(words: list[str]) -> bool:
    return len(words) >= LEAST_OPEN_WORDS and words[-1] in _ALWAYS_OPEN


def _in_code(text: str) -> bool:
    """Whether the last fence opens a block that is neither closed nor followed by prose, so that it is no stray one."""
    if "````" in text:  # longer fences hold others
        return False
    begin = None
    for fence in _FENCE.finditer(text):
        info = fence[1].strip()
        if "```" not in info:
            begin = fence.end() if info or begin is None else None
    if begin is None:
        return False
    rest = text[begin:].strip()
    line = rest[rest.rfind("\n") + 1 :]
    prose = len(line.split()) >= LEAST_WORDS and _ENDED.search(line) is not None
    return not prose if rest else text.rstrip()[-1] != "`"


def _in_brackets(text: str) -> bool:
    line = _FACE.sub("", text[text.rfind("\n") + 1 :])
    opened = sum(map(line.count, "([（「『【"))  # noqa: RUF001 - full-width brackets
    return opened > sum(map(line.count, ")]）」』】")) and line[-1:] not in "(["  # noqa: RUF001 - as above


def _in_item(before: str, item: str) -> bool:
    """Whether a list's other items are ended sentences, and the last is a fragment of one or ends in its second."""
    others = [line.rstrip() for line in _ITEM.findall(before)]
    if not others or not all(map(_ENDED.search, others)):
        return False
    return 2 * len(item) < min(map(len, others)) or _SENTENCE_END.search(item) is not None


def _ends_lines(before: str) -> bool:
    """Whether the other long lines mostly end with a mark, so that the last should."""
    long = [line.rstrip() for line in before.splitlines() if len(line.split()) >= PROSE_WORDS]
    return 2 * sum(not line[-1].isalnum() for line in long) >= len(long)
