"""What the rewards of the two labels and the KL term say together."""

from collections.abc import Iterator

import msgspec

from kto_tui.runs.verdicts.evidence import HALF, SIGMAS, Evidence, chance, heldout_share
from kto_tui.runs.verdicts.movement import STILL_NATS, learning_rate_too_low, margin_not_growing, settled
from kto_tui.runs.verdicts.verdict import Verdict

# Loss of probability of a good answer that a reader would notice: e^-3 is a twentieth; of a long one, 5 % per token.
FALLEN_NATS, FALLEN_NATS_PER_TOKEN = 3.0, 0.05
ONE_SIDED, WRONG = 0.9, 0.25
# A mismatched answer is unlikely to begin with, so it can gain a nat per token and more. Healthy runs: 0.05.
RUNAWAY_NATS_PER_TOKEN = 0.3


def both_rewards_falling(evidence: Evidence) -> Verdict | None:
    """Desirable answers become less likely too."""
    good, bad = evidence.nats("reward_desirable"), evidence.nats("reward_undesirable")
    fallen = max(FALLEN_NATS, FALLEN_NATS_PER_TOKEN * (evidence.row_tokens or 0))
    if good is None or bad is None or not settled(evidence) or good.high > -fallen or bad.high > 0:
        return None
    return Verdict(
        "both_rewards_falling",
        f"Both rewards are falling: desirable answers lost {-good.mean:.1f} nats of log-probability, "
        f"undesirable ones {-bad.mean:.1f}; the model gives up the good answers with the bad",
        "Halve learning_rate and raise desirable_weight by a third (Eq. 8 allows up to 4/3)",
    )


def one_label_only(evidence: Evidence) -> Verdict | None:
    """All rows get a reward of the same sign."""
    if not settled(evidence):
        return None
    for side, other, sign in (("desirable", "undesirable", 1), ("undesirable", "desirable", -1)):
        for view in _views(evidence, side, other):
            if view.good < ONE_SIDED or view.bad > WRONG or chance(view.bad, view.rows) > -SIGMAS:
                continue
            # Both labels may move far in one direction as long as they move apart farther.
            if sign * view.reward < max(STILL_NATS * evidence.recipe.beta, view.margin / 2):
                continue
            return Verdict(
                "one_label_only",
                f"Every answer becomes {'likelier' if sign > 0 else 'less likely'}: of the {view.where} rows "
                f"{view.good:.0%} of the {side} ones are on the right side, but {view.bad:.0%} of the {other} ones",
                f"Raise {other}_weight by half, or add {other} rows; lower learning_rate if it is above the usual",
            )
    return None


class _View(msgspec.Struct, frozen=True):
    """Rows of ``where``: how many of the label in question, both accuracies, its reward, and the margin."""

    where: str
    rows: float
    good: float
    bad: float
    reward: float
    margin: float


def _views(evidence: Evidence, side: str, other: str) -> Iterator[_View]:
    """Training and held-out rows, where all of their figures are known."""
    names = (f"accuracy_{side}", f"accuracy_{other}", f"reward_{other}", "margin")

    def of_other(share: float) -> float:
        return share if other == "desirable" else 1 - share

    late = [window.mean for name in names if (window := evidence.late(name, HALF)) is not None]
    if len(late) == len(names):
        yield _View("training", of_other(evidence.desirable_share) * evidence.rows(HALF), *late)
    for one in evidence.heldout[-1:]:
        now = [value for name in names if (value := getattr(one, name)) is not None]
        if len(now) == len(names):
            yield _View("held-out", of_other(heldout_share(one, evidence.desirable_share)) * one.rows, *now)


def kl_at_zero(evidence: Evidence) -> Verdict | None:
    """KL was 0 all the time, and another rule says that it is not because the margin grows."""
    kl = evidence.late("kl", HALF)
    if evidence.recipe.loss_type != "kto" or kl is None or kl.high > 0:
        return None
    because = next((words for rule, words in _NOT_NORMAL if rule(evidence) is not None), None)
    if because is None:
        return None
    return Verdict(
        "kl_at_zero",
        f"KL is 0 at each of the last {kl.points} points, which is normal while the margin grows, but here {because}",
        "Follow the verdict above; KL needs no remedy of its own",
    )


def kl_running_away(evidence: Evidence) -> Verdict | None:
    """Unrelated answers become far likelier."""
    kl, early, tokens = evidence.late("kl"), evidence.early("kl"), evidence.row_tokens
    if kl is None or early is None or tokens is None:
        return None
    if kl.low < RUNAWAY_NATS_PER_TOKEN * tokens or kl.low < early.high:
        return None
    return Verdict(
        "kl_running_away",
        f"KL is running away: {kl.mean:.0f} nats, from {early.mean:.0f} early on; answers become likelier whatever "
        "was asked",
        "Lower learning_rate to a third, or raise beta (0.1 holds the model near its base)",
    )


_NOT_NORMAL = (
    (learning_rate_too_low, "the model still is its base"),
    (both_rewards_falling, "all answers become less likely"),
    (margin_not_growing, "the margin does not grow"),
)
