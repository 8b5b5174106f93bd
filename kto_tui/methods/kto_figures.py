"""The figures of one effective batch under the names that TRL logs them by."""

import msgspec


class LabelSums(msgspec.Struct, frozen=True):
    """Sums over the rows of one label.

    Attributes:
        rows: how many there are.
        log_ratios: of log p(y|x) - log p_ref(y|x), each summed over completion tokens.
        log_probs: of log p(y|x), likewise.
        right: rows whose log-ratio is above zero where they are desirable, below zero where they are not.
    """

    rows: float
    log_ratios: float
    log_probs: float
    right: float


def figures(desirable: LabelSums, undesirable: LabelSums, *, kl: float, beta: float) -> dict[str, float]:
    """A batch's figures by TRL's names (``trl.KTOTrainer``); a label that the batch does not have leaves no figure.

    Args:
        desirable: sums over the rows with that label.
        undesirable: over the others; one of the two has rows.
        kl: z of the batch.
        beta: of the loss; reward = beta * log-ratio.
    """
    found = {"kl": kl}
    means: dict[str, float] = {}
    for name, sums in (("chosen", desirable), ("rejected", undesirable)):
        if sums.rows:
            found[f"rewards/accuracies_{name}"] = sums.right / sums.rows
            means[name] = found[f"rewards/{name}"] = beta * sums.log_ratios / sums.rows
            found[f"logps/{name}"] = sums.log_probs / sums.rows
    if len(means) == 2:
        found["rewards/margins"] = means["chosen"] - means["rejected"]
    found["rewards/accuracies"] = (desirable.right + undesirable.right) / (desirable.rows + undesirable.rows)
    return found
