"""From what a person types to a model: a folder, a catalog id, a hub id, or the names that come close."""

import difflib
import os
import re
from pathlib import Path

from kto_tui.catalog.checkpoint import read_cached, read_local
from kto_tui.catalog.model import ModelSpec
from kto_tui.catalog.shipped import load_catalog
from kto_tui.errors import UserError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
# A model's page as a browser shows it, the one of its files on main too.
PAGE = re.compile(
    rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?!datasets/|spaces/)({HUB_ID.pattern})"
    r"(?:/(?:tree|blob|resolve)/main(?:/[^?#]*)?)?/?(?:[?#].*)?",
    re.ASCII | re.IGNORECASE,
)
WORD = re.compile(r"\d+(?:\.\d+)?[bm]?(?![a-z])|\d+|[a-z]+")
NEAR = 0.7


def resolve(text: str) -> ModelSpec:
    """The model a person means by a folder, a catalog id, a hub id or its page, without asking the network."""
    text = text.strip()
    if page := PAGE.fullmatch(text):
        text = page[1]
    if text.startswith((".", "/", "~")) or os.path.isdir(text):  # noqa: PTH112 - pathlib raises on pasted prose
        return read_local(Path(text))
    if HUB_ID.fullmatch(text):
        # The hub has no two names that differ in case only.
        same = (spec for spec in load_catalog() if spec.id.lower() == text.lower())
        return next(same, None) or read_cached(text)
    choice = " or ".join(nearest(text)) or "a model from the list"
    mend = f"Choose {choice}, or write a hub id (org/name) or a folder (./name)"
    raise UserError(f"No model is called {text[:80]!r}" if text else "No model is named", mend=mend)


def nearest(text: str, count: int = 3) -> list[str]:
    """Up to ``count`` catalog ids that sound like ``text``, best first: word by word, then as a whole."""
    text = text.lower()[:80]
    words = WORD.findall(text)
    if not words:
        return []
    found = []
    for spec in load_catalog():
        name = spec.id.split("/")[1].lower()
        theirs = WORD.findall(f"{spec.id} {spec.title}".lower())
        score = sum(max(_likeness(word, other) for other in theirs) for word in words) / len(words)
        whole = max(difflib.SequenceMatcher(None, text, each).ratio() for each in (name, spec.id.lower()))
        if score >= NEAR or whole >= NEAR:
            found.append((score, whole, spec.id))
    return [name for *_, name in sorted(found, key=lambda each: (-each[0], -each[1]))[:count]]


def _likeness(word: str, other: str) -> float:
    if word == other:
        return 1.0
    if word[0].isdigit() or other[0].isdigit():  # 7b is not nearly 70b, but 3 means 3.1 too
        return 0.9 if re.match(rf"{re.escape(word)}\.\d+$", other) else 0.0
    return 0.9 * difflib.SequenceMatcher(None, word, other).ratio()
