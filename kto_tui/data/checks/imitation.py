"""What the checks say of data for SFT, which imitates good answers: much that KTO asks for does not matter to it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from kto_tui.data.checks.finding import Finding

# Why a finding matters where answers are imitated and not judged.
WHY: Mapping[str, str] = MappingProxyType(
    {
        "roles": "SFT imitates one answer of the assistant to what came before it",
        "empty_prompt": "SFT imitates an answer to a prompt; without one it would be given to every question",
        "empty_completion": "SFT raises the probability of the answer's tokens, and an empty answer has none",
        "repeats_prompt": "The loss covers every token of the completion, so the model learns to repeat questions",
        "missing_label": "Nobody has said whether these are good answers, which SFT would imitate;"
        ' unlabelled = "good" says so of all of them (--unlabelled good, u on the Data screen)',
        "unparsable_label": "Read the wrong way round, a label has the model imitate what people disliked",
        "conflicting_labels": "Somebody disliked the answer that SFT would imitate",
        "exact_duplicates": "Each copy counts as one more answer to imitate, and many are learnt by heart",
        "near_duplicates": "One answer then counts several times, and such answers are learnt by heart",
        "mixed_languages": "SFT teaches to answer in these languages, and of what is rare here it teaches little",
        "truncated": "Where an answer ends is imitated too: one that breaks off teaches the model to break off",
        "heldout_overlap": "The held-out loss then shows what the model remembers and not what it learnt",
    }
)
# What is about two labels side by side says nothing where one of them is trained on.
OF_TWO_LABELS = frozenset({"imbalance", "length_predicts_label", "sorted_labels"})


def as_imitated(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that matter to SFT, with the reason why."""
    return [
        msgspec.structs.replace(one, why=WHY.get(one.id, one.why)) for one in findings if one.id not in OF_TWO_LABELS
    ]
