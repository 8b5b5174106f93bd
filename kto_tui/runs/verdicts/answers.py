"""Whether the fixed prompts are answered worse than the base model answered them."""

from collections.abc import Callable

from kto_tui.runs.events import Answer, Sampled
from kto_tui.runs.verdicts.evidence import Evidence
from kto_tui.runs.verdicts.verdict import Verdict

FEWEST_ANSWERS = 3
HALF = 0.5
# Of so many words or more, fewer than this share are different ones: loops, not prose.
LONG, VARIED = 16, 0.35


def answers_worse(evidence: Evidence) -> Verdict | None:
    """More answers are empty, loop, or no longer come to an end."""
    samples = evidence.state.samples
    if len(samples) < 2 or min(len(samples[0].answers), len(samples[-1].answers)) < FEWEST_ANSWERS:
        return None
    base, now = samples[0], samples[-1]
    for what, is_bad in _FAULTS.items():
        before, after = _share(base, is_bad), _share(now, is_bad)
        if after - before >= HALF:
            return Verdict(
                "answers_worse",
                f"Answers are getting worse: {after:.0%} of the fixed prompts get answers that {what} at step "
                f"{now.step}, {before:.0%} from the base model",
                "Read them before you go on; take an earlier checkpoint, lower learning_rate to a third"
                + (" or raise beta" if evidence.recipe.method == "kto" else ""),
            )
    return None


def _empty(answer: Answer) -> bool:
    return not any(letter.isalnum() for letter in answer.text)


def _loops(answer: Answer) -> bool:
    words = answer.text.lower().split()
    return len(words) >= LONG and len(set(words)) < VARIED * len(words)


_FAULTS = {
    "are empty": _empty,
    "say the same over and over": _loops,
    "do not come to an end": lambda answer: not answer.finished,
}


def _share(sampled: Sampled, is_bad: Callable[[Answer], bool]) -> float:
    return sum(map(is_bad, sampled.answers)) / len(sampled.answers)
