"""What the labels of all rows say together: their balance, their order, and whether length alone foretells them."""

import math
from typing import TYPE_CHECKING

import msgspec

from kto_tui.methods.kto import balance_weights

if TYPE_CHECKING:
    import numpy as np

# The paper (arXiv:2402.01306) matches DPO with up to 90 % of one label left out; beyond that nothing is reported.
MOST_RATIO = 10.0
# Below this balanced accuracy length says little; above it must not be chance either (p < 0.001 of each test).
LEAST_ACCURACY = 0.7
SIGNIFICANCE = 0.001
FEWEST_OF_A_LABEL = 20
MOST_CHARACTERS = 1_000_000
SORTED_Z = -3.29


class LengthRule(msgspec.Struct, frozen=True):
    """The best guess of the label from the completion's length.

    Attributes:
        accuracy: mean of the shares of desirable and of undesirable rows it gets right; 0.5 is chance.
        characters: up to here it guesses one label, above the other.
        shorter_is_better: it guesses desirable for the shorter ones.
    """

    accuracy: float
    characters: int
    shorter_is_better: bool


def weight_needed(desirable: int, undesirable: int) -> float | None:
    """The larger of the two weights Eq. 8 asks for, where it is beyond what is known to work; None otherwise."""
    weights = balance_weights(desirable, undesirable)
    needed = max(weights.desirable, weights.undesirable)
    return needed if needed > MOST_RATIO else None


def length_rule(characters: "np.ndarray", label: "np.ndarray") -> LengthRule | None:
    """The best threshold on length as a classifier of the label; None where it is weak or may be chance.

    Twice its accuracy less one is the Kolmogorov-Smirnov distance between the two distributions of lengths, so that
    its significance is known though the threshold was chosen on the same rows.

    Args:
        characters: length per row.
        label: 1 or 0 per row.
    """
    import numpy as np

    good, bad = int((label == 1).sum()), int((label == 0).sum())
    if min(good, bad) < FEWEST_OF_A_LABEL:
        return None
    lengths = np.minimum(characters, MOST_CHARACTERS).astype(np.int32)
    # Element i: how much more of one label than of the other is i characters long or shorter.
    shares = [
        np.cumsum(np.bincount(lengths[label == kind], minlength=int(lengths.max()) + 1)) / total
        for kind, total in ((1, good), (0, bad))
    ]
    apart = shares[0] - shares[1]
    at = int(np.abs(apart).argmax())
    distance = float(abs(apart[at]))
    root = math.sqrt(good * bad / (good + bad))
    chance = 2 * math.exp(-2 * (distance * root) ** 2)
    accuracy = (1 + distance) / 2
    if accuracy < LEAST_ACCURACY or chance > SIGNIFICANCE:
        return None
    return LengthRule(accuracy, at, bool(apart[at] > 0))


def blocks(label: "np.ndarray") -> tuple["np.ndarray", float] | None:
    """Where rows of one label follow each other far longer than by chance (runs test of Wald and Wolfowitz).

    Args:
        label: 1 or 0 per row, in the file's order.

    Returns:
        The index each block begins at, and the number of blocks a mixed order would have; None where it is mixed.
    """
    import numpy as np

    rows = len(label)
    good = int((label == 1).sum())
    bad = rows - good
    if not good or not bad:
        return None
    starts = np.flatnonzero(np.concatenate(([True], label[1:] != label[:-1])))
    expected = 1 + 2 * good * bad / rows
    variance = (expected - 1) * (expected - 2) / max(1, rows - 1)
    if variance <= 0 or (len(starts) - expected) / math.sqrt(variance) > SORTED_Z or 2 * len(starts) > expected:
        return None
    return starts, expected
