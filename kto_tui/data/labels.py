"""What people write for thumbs up and thumbs down, read as KTO labels. A polarity that was guessed says so."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Scalar = bool | int | float | str | None
Kind = Literal["boolean", "words", "numbers", "stars", "unknown"]

# Pairs in the order good, bad; compared without case, spaces around and variation selectors.
WORDS = (
    ("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("up", "down"), ("thumbs up", "thumbs down"),
    ("thumbs_up", "thumbs_down"), ("thumbs-up", "thumbs-down"), ("thumbsup", "thumbsdown"), ("thumb_up", "thumb_down"),
    ("👍", "👎"), ("+1", "-1"), (":+1:", ":-1:"), (":thumbsup:", ":thumbsdown:"), ("✅", "❌"), ("✓", "✗"), ("✔", "✘"),
    ("good", "bad"), ("positive", "negative"), ("pos", "neg"), ("desirable", "undesirable"), ("chosen", "rejected"),
    ("like", "dislike"), ("liked", "disliked"), ("upvote", "downvote"), ("upvoted", "downvoted"),
    ("accept", "reject"), ("accepted", "rejected"), ("approve", "disapprove"), ("approved", "disapproved"),
    ("correct", "incorrect"), ("right", "wrong"), ("helpful", "unhelpful"), ("helpful", "not helpful"),
    ("pass", "fail"), ("ok", "not ok"), ("win", "lose"),
)  # fmt: skip
GOOD = {good: good for good, _ in WORDS}
BAD = {bad: good for good, bad in WORDS}
# The minus sign is another character than -; variation selectors and skin tones change a thumb's looks only.
LOOKS = {0x2212: "-", 0xFE0E: None, 0xFE0F: None, **dict.fromkeys(range(0x1F3FB, 0x1F400))}
MOST_STARS = 5
# Stars as people write them: "4 stars", "4/5", "4 out of 5".
_STARS = re.compile(r"([0-5](?:\.\d)?) ?(?:stars?|(?:/|out of) ?5(?: stars?)?)")
_RATED = frozenset("012345★⭐")
_DRAWN = re.compile("([★⭐]{1,5})☆{0,4}")


class Reading(msgspec.Struct, frozen=True):
    """How the values of a label column are read.

    Attributes:
        kind: of the values.
        labels: value as text (``key``) to desirable or not; what is in neither is no label. The empty text is in it
            where rows without a label are said to be good.
        certain: nobody need confirm it: only values that are JSON's or TRL's own true and false.
        because: the reason, in words.
        unknown: values as text that are not read, the commonest first.
        threshold: stars from here on are desirable; None for other kinds.
    """

    kind: Kind
    labels: Mapping[str, bool]
    certain: bool
    because: str
    unknown: tuple[str, ...] = ()
    threshold: float | None = None

    def label(self, value: object) -> bool | None:
        """The label that ``value`` stands for; None where it stands for none."""
        return self.labels.get(key(value))

    def flipped(self) -> "Reading":
        """The other polarity, as somebody confirmed it."""
        labels = {name: not label for name, label in self.labels.items()}
        return msgspec.structs.replace(self, labels=labels, because="turned round by you")


def key(value: object) -> str:
    """A value as text that is equal for values that mean the same: ``True``, ``" TRUE "``; ``1``, ``1.0``, ``"1"``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if math.isfinite(value) else ""
    if not isinstance(value, str):
        return ""
    text = value.strip().translate(LOOKS).casefold()
    number = _number(text)
    if number is None and text[:1] in _RATED and (stars := _stars(text)):
        return stars
    return text if number is None or text.startswith("+") else f"{number:g}"


def _stars(text: str) -> str:
    if found := _DRAWN.fullmatch(text):
        return str(len(found[1]))
    found = _STARS.fullmatch(text)
    return f"{float(found[1]):g}" if found else ""


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in text else None


def read_labels(counts: Mapping[Scalar, int] | Mapping[str, int], *, threshold: float | None = None) -> Reading:
    """How a column with these values, and how often each occurs, is most likely meant.

    Args:
        counts: occurrences by value; empty values count as missing labels and decide nothing.
        threshold: stars from here on are desirable; None: above the middle of the scale.
    """
    by_key: dict[str, int] = {}
    for value, count in counts.items():
        if name := key(value):
            by_key[name] = by_key.get(name, 0) + count
    names = sorted(by_key, key=lambda name: (-by_key[name], name))
    booleans = {name: name == "true" for name in names if name in {"true", "false"}}
    if 2 * sum(map(by_key.__getitem__, booleans)) > sum(by_key.values()):
        others = tuple(name for name in names if name not in booleans)
        if not any(name in GOOD or name in BAD for name in others):
            return Reading("boolean", booleans, True, "true and false are TRL's own labels", others)
    numbers = {name: number for name in names if (number := _number(name)) is not None}
    if len(numbers) > len(names) / 2:
        return _read_numbers(numbers, names, threshold)
    return _read_words(names)


def _read_words(names: Iterable[str]) -> Reading:
    labels = {name: name in GOOD for name in names if name in GOOD or name in BAD}
    unknown = tuple(name for name in names if name not in labels)
    if not labels:
        return Reading("unknown", {}, False, "no word among them says good or bad", unknown)
    good = [name for name, label in labels.items() if label]
    bad = [name for name, label in labels.items() if not label]
    said = " and ".join(f"{_list(some)} {how}" for some, how in ((good, "as good"), (bad, "as bad")) if some)
    return Reading("words", labels, False, f"reads {said}", unknown)


def _read_numbers(numbers: Mapping[str, float], names: Iterable[str], threshold: float | None) -> Reading:
    unknown = tuple(name for name in names if name not in numbers)
    values = set(numbers.values())
    if threshold is None and (values <= {0, 1} or values <= {-1, 1}):
        low = "-1" if -1 in values else "0"
        labels = {name: number > 0 for name, number in numbers.items()}
        return Reading("numbers", labels, False, f"reads 1 as good and {low} as bad", unknown)
    stars = all(1 <= value <= MOST_STARS for value in values)
    if threshold is None and not stars:
        return Reading("unknown", {}, False, "numbers of no known scale: give a threshold", tuple(names))
    limit = threshold if threshold is not None else (1 + MOST_STARS) / 2
    # Without a threshold the middle of the scale is neither good nor bad.
    labels = {name: number >= limit for name, number in numbers.items() if threshold is not None or number != limit}
    unknown += tuple(name for name in numbers if name not in labels)
    why = f"{limit:g} and more" if threshold is not None else f"more than {limit:g} of {MOST_STARS} stars"
    left = "" if threshold is not None or limit not in values else f"; {limit:g} is read as neither"
    return Reading("stars", labels, False, f"reads {why} as good, less as bad{left}", unknown, limit)


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
