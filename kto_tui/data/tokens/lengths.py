"""How long rows are in tokens, counted or estimated, and what a max_length does to them."""

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import msgspec

from kto_tui.data.checks.finding import SHOWN_ROWS, Finding
from kto_tui.units import count as number

# Characters per token. Latin: English chats (LLaMA-Factory's kto_en_demo, 0.8 M characters) have 4.2 with SmolLM2's
# tokenizer and 4.5 with Qwen2.5's. The others: Vim's tutor in seven languages with both, geometric mean; Chinese,
# Japanese and Korean 0.5 to 1.6, Russian, Ukrainian, Bulgarian and Greek 1.2 to 2.7. Languages in Latin letters other
# than English have 1.3 to 3.4, which cannot be told from the script.
LATIN = 4.2
CJK = 1.0
OTHER = 1.8
# From Greek on no script is Latin; from the radicals on come Chinese, Japanese, Korean and emoji.
_other, _cjk = re.compile("[\u0370-\u2e7f]"), re.compile("[\u2e80-\U0010ffff]")

EDGES = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
# Powers of two and what lies half-way between them, up to the longest contexts there are.
STEPS = tuple(step for power in range(8, 21) for step in (2**power, 3 * 2 ** (power - 1)))
MAX_CUT_SHARE = 0.01

# (tokens, rows) ascending by tokens
Distribution = tuple[tuple[int, int], ...]


class Percentiles(msgspec.Struct, frozen=True):
    """Tokens that this share of the rows does not exceed; each is the length of a row."""

    p50: int
    p90: int
    p95: int
    p99: int
    max: int


class Proposal(msgspec.Struct, frozen=True):
    """A max_length and the reason, in words."""

    max_length: int
    because: str


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of rows that were looked at, before anything is cut.

    Attributes:
        counted: by the model's tokenizer; False: estimated from characters, without what a chat template adds.
        of: rows there are in all.
        desirable: tokens of prompt and completion together of rows labelled good.
        undesirable: of the others.
        prompts: tokens of the prompt alone.
        empty: rows whose completion adds no token; training leaves them out, so they are in none of the above.
    """

    counted: bool
    of: int
    desirable: Distribution
    undesirable: Distribution
    prompts: Distribution
    empty: int = 0

    @property
    def rows(self) -> int:
        """Rows that have a length."""
        return sum(rows for _, rows in self.prompts)

    @property
    def looked_at(self) -> int:
        """Rows that were looked at."""
        return self.rows + self.empty

    def _totals(self, label: bool | None) -> Distribution:
        if label is None:
            return _distribution(Counter(dict(self.desirable)) + Counter(dict(self.undesirable)))
        return self.desirable if label else self.undesirable

    def percentiles(self, label: bool | None = None) -> Percentiles | None:
        """Of the rows with ``label``, None for all; None where there is no such row."""
        totals = self._totals(label)
        rows = sum(rows for _, rows in totals)
        if not rows:
            return None
        ranks = [math.ceil(rows * percent / 100) for percent in (50, 90, 95, 99, 100)]
        found: list[int] = []
        seen = 0
        for tokens, here in totals:
            seen += here
            while len(found) < len(ranks) and seen >= ranks[len(found)]:
                found.append(tokens)
        return Percentiles(*found)

    def histogram(self, label: bool | None = None) -> tuple[int, ...]:
        """Rows that fit into each of ``EDGES`` and not into the one before; the last: those that fit into none."""
        bins = [0] * (len(EDGES) + 1)
        for tokens, rows in self._totals(label):
            bins[bisect_left(EDGES, tokens)] += rows
        return tuple(bins)

    def dropped(self, max_length: int) -> int:
        """Rows whose prompt alone fills ``max_length``."""
        return sum(rows for tokens, rows in self.prompts if tokens >= max_length)

    def cut(self, max_length: int) -> int:
        """Rows whose completion is cut by ``max_length``, those that are dropped not counted."""
        longer = sum(rows for tokens, rows in self.desirable + self.undesirable if tokens > max_length)
        return longer - self.dropped(max_length)

    def proposal(self, context: int | None = None) -> Proposal | None:
        """The smallest usual max_length that cuts 1 % of the rows at most and drops none; None without rows.

        Args:
            context: tokens the model can take, its longest max_length; None: unknown.
        """
        if not self.rows:
            return None
        most = STEPS[-1] if context is None else context
        for step in [*(step for step in STEPS if step < most), most]:
            if not self.dropped(step) and self.cut(step) <= MAX_CUT_SHARE * self.rows:
                return Proposal(step, f"the shortest usual limit that cuts 1 % of the rows at most: {self._says(step)}")
        return Proposal(most, f"the most the model takes; {self._says(most)}")

    def _says(self, max_length: int) -> str:
        """What ``max_length`` does, as a clause."""
        cut, dropped, about = self.cut(max_length), self.dropped(max_length), "" if self.counted else "about "
        if not cut and not dropped:
            return f"all {number(self.rows)} rows {'' if self.counted else 'should '}fit"
        left_out = f" and leaves {about}{number(dropped)} out" if dropped else ""
        return f"cuts {about}{number(cut)} of {number(self.rows)} rows{left_out}"


def _distribution(counts: Counter[int]) -> Distribution:
    return tuple(sorted(counts.items()))


def count(pairs: Iterable[tuple[int, int]], labels: Iterable[bool], *, of: int | None = None) -> Lengths:
    """Lengths as the model's tokenizer has them.

    Args:
        pairs: tokens of prompt and completion of each row that was looked at.
        labels: of the same rows.
        of: rows there are in all; None: so many as were looked at.
    """
    return _lengths(pairs, labels, of, counted=True)


def estimate(
    prompt_chars: Iterable[int],
    completion_chars: Iterable[int],
    labels: Iterable[bool],
    *,
    per_token: float = LATIN,
    of: int | None = None,
) -> Lengths:
    """Lengths as they can be guessed without a tokenizer.

    Args:
        prompt_chars: characters of each row's prompt.
        completion_chars: of its completion.
        labels: of the same rows.
        per_token: characters per token, see ``characters_per_token``.
        of: rows there are in all; None: so many as were looked at.
    """
    pairs = (
        (math.ceil(prompt / per_token), math.ceil(completion / per_token))
        for prompt, completion in zip(prompt_chars, completion_chars, strict=True)
    )
    return _lengths(pairs, labels, of, counted=False)


def _lengths(pairs: Iterable[tuple[int, int]], labels: Iterable[bool], of: int | None, *, counted: bool) -> Lengths:
    totals: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    prompts: Counter[int] = Counter()
    empty = 0
    for (prompt, completion), label in zip(pairs, labels, strict=True):
        if completion:
            totals[bool(label)][prompt + completion] += 1
            prompts[prompt] += 1
        else:
            empty += 1
    return Lengths(
        counted=counted,
        of=prompts.total() + empty if of is None else of,
        desirable=_distribution(totals[True]),
        undesirable=_distribution(totals[False]),
        prompts=_distribution(prompts),
        empty=empty,
    )


def characters_per_token(texts: Iterable[str]) -> float:
    """What a tokenizer probably makes of texts like these, by their scripts."""
    characters, tokens = 0, 0.0
    for text in texts:
        cjk, other = (0, 0) if text.isascii() else (len(_cjk.findall(text)), len(_other.findall(text)))
        characters += len(text)
        tokens += cjk / CJK + other / OTHER + (len(text) - cjk - other) / LATIN
    return characters / tokens if characters else LATIN


def findings(lengths: Lengths, max_length: int, *, rows: Iterable[tuple[int, int, int]] = ()) -> list[Finding]:
    """The checks ``prompt_too_long`` and ``too_long``.

    Args:
        lengths: of the rows that were looked at.
        max_length: the recipe's.
        rows: number, prompt tokens and completion tokens of these rows, so that the first of them can be named.
    """
    how = "" if lengths.counted else ", by an estimate"
    # A row whose completion adds nothing is in neither.
    measured = [row for row in rows if row[2] and row[1] + row[2] > max_length]
    dropped = (row for row, prompt, _ in measured if prompt >= max_length)
    cut = (row for row, prompt, _ in measured if prompt < max_length)
    of = f"of {number(lengths.looked_at)} rows"
    cases = (
        (
            "prompt_too_long",
            lengths.dropped(max_length),
            dropped,
            f"have a prompt that alone fills max_length {max_length}",
            "Nothing of the answer would be left to learn from, so training leaves these rows out.",
        ),
        (
            "too_long",
            lengths.cut(max_length),
            cut,
            f"are longer than max_length {max_length}",
            "Their answers lose their end (or the recipe leaves them out), though the label was given to all of it.",
        ),
    )
    return [
        Finding(
            id=name,
            severity="warning",
            count=count,
            title=f"{number(count)} {of} {what}{how}",
            why=why,
            rows=tuple(islice(numbers, SHOWN_ROWS)),
            looked_at=lengths.looked_at if lengths.looked_at < lengths.of else None,
        )
        for name, count, numbers, what, why in cases
        if count
    ]
