"""Strings that look private: e-mail addresses, phone and card numbers, keys. They are shown and put aside masked."""

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

# Ends of names that have an @ and a dot and are no addresses: files for sharp screens, modules, packages.
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "py", "json", "html", "md"})
_EMAIL = re.compile(
    r"(?<![\w.%+/@-])[A-Za-z0-9][\w.%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,24})"
    r"(?![\w(@-]|\.\w)",
    re.ASCII,
)
_INTERNATIONAL = re.compile(r"(?<![\w+./-])\+[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,4}\)?){2,6}(?!\d)", re.ASCII)
_AMERICAN = re.compile(
    r"(?<![\w./-])(?:1[-. ])?(?:\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}([-.])\d{3}\1\d{4})(?![\w-]|\.\d)",
    re.ASCII,
)
_NAMED = re.compile(
    r"(?:\b(?:tele?(?:phone|fono?|fon)?|phone|mobile?|handy|fax|whatsapp)\b|电话|手机|電話|携帯)"
    r"[^\d\n+]{0,20}(?P<number>\(?\d[\d ()./-]{6,18}\d)(?!\d)",
    re.IGNORECASE,
)
_PHONE_NAMES = ("phone", "tel", "mobil", "handy", "fax", "whatsapp", "电话", "手机", "電話", "携帯")
# Nine in ten texts have neither so many digits near each other nor what a key begins with.
_DIGITS = re.compile(r"\d[\d ()./-]{6,}\d", re.ASCII)
_KEY_SIGNS = (
    "sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA",
    "ASIA", "AIza", "xox", "hf_", "npm_", "pypi-", "SG.", "eyJ", "PRIVATE KEY",
)  # fmt: skip
_NAMES = ("key", "token", "passw", "secret")
_DATE = re.compile(r"(?:19|20)\d\d([-/.])\d\d?\1\d\d?\b|\d\d?([-/.])\d\d?\2(?:19|20)\d\d\b")
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:sk|rk|pk)[-_](?:live_|test_|proj-|ant-[a-z0-9]+-|or-v1-)?[A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|glpat-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|xox[abeprs]-[\w-]{10,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r")(?![A-Za-z0-9_-])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(?:[A-Za-z-]+: [^\n]*\n)*(?:\\n|[A-Za-z0-9+/=\s]){40,}"
    r"(?:-----END [A-Z ]*-----)?",
    re.ASCII,
)
_ASSIGNED = re.compile(
    r"(?i:(?:api|access|secret|auth|private)[_-]?(?:key|token)|passw(?:or)?d|secret)[\"']?\s*[:=]\s*[\"']"
    r"(?P<value>[^\s\"']{12,})[\"']",
    re.ASCII,
)
_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{14,16}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|\.\d)", re.ASCII
)
_ISSUER = re.compile(r"(?:4\d|5[1-5]|2[2-7]|35|6\d)\d{14}|3[47]\d{13}|3[068]\d{12}")


MOST_DIGITS = 14
LEAST_DIFFERENT = 3


class Private(msgspec.Struct, frozen=True):
    """One kind of private string.

    Attributes:
        id: of the check.
        what: for titles, in the plural.
        mask: what is written in its place.
        spans: where a text has such strings.
        shown: one of them, masked, as an example.
    """

    id: str
    what: str
    mask: str
    spans: Callable[[str], Iterator[tuple[int, int]]]
    shown: Callable[[str], str]

    def example(self, text: str) -> str | None:
        """The first in ``text``, masked; None where there is none."""
        found = next(self.spans(text), None)
        return None if found is None else self.shown(text[slice(*found)])

    def masked(self, text: str) -> str:
        """``text`` with the mask in the place of each."""
        while spans := list(self.spans(text)):
            parts: list[str] = []
            end = 0
            for begin, stop in spans:
                parts += (text[end:begin], self.mask)
                end = stop
            text = "".join((*parts, text[end:]))
        return text


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if not (found[1].lower() in _FILES or found[0].startswith("git@")):
                yield found.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if not _DIGITS.search(text):
        return iter(())
    lower = text.lower()
    spans = [found.span() for found in _AMERICAN.finditer(text)]
    if "+" in text:
        spans += (found.span() for found in _INTERNATIONAL.finditer(text))
    if any(name in lower for name in _PHONE_NAMES):
        spans += (found.span("number") for found in _NAMED.finditer(text))
    return _apart(span for span in spans if _is_phone(text, *span))


def _is_phone(text: str, begin: int, end: int) -> bool:
    number = text[begin:end]
    digits = _digits(number)
    decimal = "." in number and number[1:].replace(".", "", 1).isdecimal()
    counts = decimal or _DATE.search(number) or _reckoned(text, begin, end)
    return 8 <= len(digits) <= MOST_DIGITS and len(set(digits)) >= LEAST_DIFFERENT and not counts


def _keys(text: str) -> Iterator[tuple[int, int]]:
    found = [one.span() for one in _KEY.finditer(text)] if any(sign in text for sign in _KEY_SIGNS) else []
    if ("=" in text or ":" in text) and any(name in text.lower() for name in _NAMES):
        found += [one.span("value") for one in _ASSIGNED.finditer(text)]
    # Words and rows of x are written where a key belongs.
    real = (span for span in found if any(map(str.isdigit, text[slice(*span)])) and len(set(text[slice(*span)])) >= 8)
    return _apart(real)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text) if _DIGITS.search(text) else ():
        digits = _digits(found[0])
        if _ISSUER.fullmatch(digits) and _luhn(digits) and not _reckoned(text, *found.span()):
            yield found.span()


def _apart(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order, without those that reach into one before."""
    end = 0
    for begin, stop in sorted(spans):
        if begin >= end:
            yield begin, stop
            end = stop


def _reckoned(text: str, begin: int, end: int) -> bool:
    """Whether the number stands in a calculation: beside an operator, or a plus sign after a number."""
    before, after = text[max(0, begin - 12) : begin].rstrip(), text[end : end + 4].lstrip()
    signed = text[begin] == "+" and before[-1:].isdigit()
    return signed or before[-1:] in {*"=*/^×÷<>"} or after[:1] in {*"=+*/^×÷<>%"}  # noqa: RUF001 - the sign of products


def _luhn(digits: str) -> bool:
    odd, even = digits[::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(digit), 10)) for digit in even)) % 10 == 0


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


# Keys and cards first: a phone number may be seen in a part of them.
PRIVATE = (
    Private("privacy_key", "keys or passwords", "[KEY]", _keys, lambda value: f"{value[:3]}***"),
    Private("privacy_card", "card numbers", "[CARD]", _cards, lambda value: f"*** {_digits(value)[-4:]}"),
    Private("privacy_phone", "phone numbers", "[PHONE]", _phones, lambda value: f"*** {_digits(value)[-2:]}"),
    Private(
        "privacy_email",
        "e-mail addresses",
        "[EMAIL]",
        _emails,
        lambda value: f"{value[0]}***@***.{value.rsplit('.', 1)[-1]}",
    ),
)
