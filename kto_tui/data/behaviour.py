"""Plain measures of generated answers: how long, ended by the model itself, and whether they show a behaviour."""

import re
import tomllib
from pathlib import Path

import msgspec

SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


class FixedPrompt(msgspec.Struct, frozen=True):
    """A question asked before and after training. ``first``: regular expression a direct answer begins with."""

    text: str
    first: str


class Behaviour(msgspec.Struct, frozen=True):
    """A behaviour a data set teaches, as a rule one can check by hand.

    Attributes:
        title: what an answer with the behaviour does, for people.
        max_sentences: an answer with more sentences does not show it.
        openings: regular expressions (case ignored, at the start); an answer that begins with one does not show it.
        prompts: fixed prompts to answer before and after training; none of them is trained on.
    """

    title: str
    max_sentences: int
    openings: tuple[str, ...]
    prompts: tuple[FixedPrompt, ...]


def read_behaviour(path: Path) -> Behaviour:
    """The rule stored beside a data set."""
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Behaviour)


def shows(behaviour: Behaviour, text: str, *, finished: bool, first: str = "") -> bool:
    """Whether one answer shows the behaviour: ended by itself, short enough, and begun as it should be.

    Args:
        behaviour: the rule.
        text: the answer.
        finished: whether the model ended it itself.
        first: the prompt's own ``first``; empty accepts any beginning.
    """
    stripped = text.strip()
    if not finished or not stripped:
        return False
    if len(SENTENCE_END.findall(stripped)) > behaviour.max_sentences:
        return False
    if first and not re.match(rf"(?:{first})", stripped, re.IGNORECASE):
        return False
    return not any(re.match(opening, stripped, re.IGNORECASE) for opening in behaviour.openings)


def mean_words(texts: list[str]) -> float | None:
    """Mean number of whitespace-separated words."""
    return sum(len(text.split()) for text in texts) / len(texts) if texts else None
