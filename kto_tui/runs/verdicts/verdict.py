"""What a rule says when it fires."""

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """One thing that is wrong with a run.

    Attributes:
        rule: its name, as in docs/verdicts.md.
        sentence: what the figures say, one sentence.
        advice: what to change, one sentence.
    """

    rule: str
    sentence: str
    advice: str
