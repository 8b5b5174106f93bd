"""Training rows against held-out rows."""

import math

from kto_tui import units
from kto_tui.runs.events import Evaluated
from kto_tui.runs.verdicts.evidence import FEWEST_ROWS, Evidence, heldout_share, skill
from kto_tui.runs.verdicts.verdict import Verdict

# Standard errors below chance: once in 700 by chance, were it chance.
BELOW = 3.0
# Rows that are as good as known by heart.
LEARNT = 0.9
# A held-out margin fallen to this share of its best, at two evaluations in a row.
FALLEN = 0.8
# Training margin over held-out margin: near 1 in the first epoch, when training rows are as new as held-out ones.
APART = 2.0


def heldout_skill(evidence: Evidence, one: Evaluated) -> float:
    """Standard errors by which an evaluation is better than chance."""
    share = heldout_share(one, evidence.desirable_share)
    return skill(one.accuracy_desirable, one.accuracy_undesirable, one.rows, share)


def heldout_disagrees(evidence: Evidence) -> Verdict | None:
    """What is learnt puts the held-out rows on the wrong side."""
    margin = evidence.late("margin")
    if not evidence.heldout or margin is None or margin.low <= 0:
        return None
    last = evidence.heldout[-1]
    if heldout_skill(evidence, last) > -BELOW or last.margin is None or last.margin > 0:
        return None
    return Verdict(
        "heldout_disagrees",
        f"Training and held-out rows disagree: the training margin grows ({margin.mean:+.2f}), but of the {last.rows} "
        f"held-out rows only {units.percent(last.accuracy)} are on the right side, fewer than by chance",
        "Compare the labels of both files: in one of them good and bad are swapped",
    )


def overfit(evidence: Evidence) -> Verdict | None:
    """The training margin grows while the held-out rows get worse."""
    margin, accuracy, early = evidence.late("margin"), evidence.late("accuracy"), evidence.early("margin")
    scored = [(one.margin, one.accuracy, one) for one in evidence.heldout if one.margin is not None]
    if margin is None or accuracy is None or early is None or len(scored) < 3 or accuracy.mean < LEARNT:
        return None
    last, right, now = scored[-1]
    margins, accuracies = [one[0] for one in scored], [one[1] or 0.0 for one in scored]
    error = 0.5 / math.sqrt(now.rows)
    if max(margins) <= 0:
        return None
    if margin.low > early.high and max(margins[-2:]) <= FALLEN * max(margins):
        when = scored[margins.index(max(margins))][2].step
        fall = f"margin fell from {max(margins):+.2f} at step {when} to {last:+.2f}"
    elif now.rows >= FEWEST_ROWS and margin.low > APART * last and max(accuracies[-2:]) <= max(accuracies) - error:
        when = scored[accuracies.index(max(accuracies))][2].step
        fall = f"accuracy fell from {max(accuracies):.0%} at step {when} to {units.percent(right)} (margin {last:+.2f})"
    else:
        return None
    return Verdict(
        "overfit",
        f"Overfitting: the training margin is up to {margin.mean:+.2f}, but the held-out {fall}",
        f"Stop; next time set steps to {when}, lower learning_rate or add rows",
    )
