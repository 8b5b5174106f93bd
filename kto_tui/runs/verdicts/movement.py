"""How far the model moved from its base, and whether that is what the loss asks for: learning rate and beta."""

from kto_tui import units
from kto_tui.runs.verdicts.evidence import FEWEST_ROWS, HALF, Evidence, skill
from kto_tui.runs.verdicts.heldout import heldout_skill
from kto_tui.runs.verdicts.verdict import Verdict

# A good answer an e-fold less likely at every token of its row: no longer the same model.
LOST_NATS_PER_TOKEN = 1.0
# bf16 rounding alone moves a row's log-probability by 0.6 nat, the mean of 40 rows by 0.1.
STILL_NATS = 0.5
# From here on the run has had its largest steps, whatever the schedule.
SETTLED = 0.4
# sigmoid(4) = 0.98: beyond, the loss hardly tells one row from another.
SATURATED = 4.0
# Nobody recommends a larger beta; below it rewards saturate because the model moved, not because of beta.
TIGHT_BETA = 1.0
# Nobody recommends less than 0.01 either: half of that is far off. The change in nats that readers notice, and the
# reward that moves a row's loss by 1 %, which is a quarter of it.
LOW_BETA, WIDE_NATS, VANISHED = 0.005, 5.0, 0.05
# A loss within 1 % of its start is a margin below 0.04, after this share of the run.
FLAT, LATE = 0.01, 0.6
# The lower end of what is recommended; below it a flat loss is beta's doing.
LOOSE_BETA = 0.01
# Standard errors that half of random runs stay below: what is less clear than that is nothing yet.
CLEAR = 1.5
ENOUGH_ROWS = 80


def settled(evidence: Evidence) -> bool:
    """Whether enough of the run, warm-up not counted, is behind it to ask what it has achieved."""
    warmup = evidence.recipe.warmup
    return evidence.progress >= warmup + SETTLED * (1 - warmup)


def learning_rate_too_high(evidence: Evidence) -> Verdict | None:
    """Good answers became far less likely."""
    good, tokens = evidence.nats("reward_desirable"), evidence.row_tokens
    if tokens is None:
        return None
    # The held-out rows show it sooner: one evaluation is worth many steps.
    scored = [one.reward_desirable for one in evidence.heldout[-1:] if one.rows >= FEWEST_ROWS]
    gains = [gain / evidence.recipe.beta for gain in scored if gain is not None]
    lost = -min([*gains, *([] if good is None else [good.high])], default=0.0)
    if lost < LOST_NATS_PER_TOKEN * tokens:
        return None
    rate = evidence.recipe.learning_rate
    return Verdict(
        "learning_rate_too_high",
        f"The model is breaking: desirable answers lost {lost:,.0f} nats of log-probability each, more than "
        f"one for every token of a row ({tokens:.0f})",
        f"Stop, and start again with learning_rate {units.compact(_short(rate / 10))} instead of {units.compact(rate)}",
    )


def learning_rate_too_low(evidence: Evidence) -> Verdict | None:
    """The policy is still the reference."""
    moved = evidence.moved
    if moved is None or moved >= STILL_NATS or not settled(evidence):
        return None
    rate = units.compact(evidence.recipe.learning_rate)
    higher = units.compact(_short(evidence.recipe.learning_rate * (10 if moved > STILL_NATS / 5 else 100)))
    return Verdict(
        "learning_rate_too_low",
        f"The model has hardly moved: after {evidence.progress:.0%} of the steps its answers' log-probabilities "
        f"differ from the base model's by {moved:.2f} nats",
        f"Raise learning_rate from {rate} to {higher}; LoRA wants about 1e-4 for small models, 5e-6 to 5e-5 from "
        "3 B parameters",
    )


def beta_too_low(evidence: Evidence) -> Verdict | None:
    """The model moves far, but the loss does not see it."""
    beta, moved = evidence.recipe.beta, evidence.moved
    if moved is None or beta > LOW_BETA or moved < WIDE_NATS or moved * beta > VANISHED:
        return None
    return Verdict(
        "beta_too_low",
        f"Beta {units.compact(beta)} makes the rewards vanish: answers moved by {moved:.0f} nats, "
        f"but that is a reward of {moved * beta:.3f} only and cannot change the loss, nor hold the model near its base",
        "Set beta to 0.1",
    )


def beta_too_high(evidence: Evidence) -> Verdict | None:
    """Rewards saturate although the model has hardly moved."""
    beta = evidence.recipe.beta
    if beta <= TIGHT_BETA:
        return None
    good, bad = evidence.late("reward_desirable"), evidence.late("reward_undesirable")
    if good is None or bad is None:
        return None
    size = (abs(good.middle) + abs(bad.middle)) / 2
    if size < SATURATED:
        return None
    return Verdict(
        "beta_too_high",
        f"Beta {units.compact(beta)} saturates the loss: rewards are {size:.1f} in size after answers moved by only "
        f"{size / beta:.1f} nats, so most rows teach nothing more",
        "Set beta to 0.1; 0.5 to 1 if the model shall stay close to its base",
    )


def margin_not_growing(evidence: Evidence) -> Verdict | None:
    """Desirable and undesirable answers move together."""
    names = ("margin", "accuracy_desirable", "accuracy_undesirable")
    margin, good, bad = (evidence.late(name, HALF) for name in names)
    rows = evidence.rows(HALF)
    if margin is None or good is None or bad is None or not settled(evidence) or rows < ENOUGH_ROWS:
        return None
    known = [heldout_skill(evidence, one) for one in evidence.heldout[-1:]]
    if (
        margin.mean > CLEAR * margin.error
        or max([skill(good.mean, bad.mean, rows, evidence.desirable_share), *known]) > CLEAR
    ):
        return None
    return Verdict(
        "margin_not_growing",
        f"The margin is not growing: {margin.mean:+.2f} over the last {margin.points} points; of the desirable rows "
        f"{good.mean:.0%} are on the right side, of the undesirable {bad.mean:.0%}, no more than by chance",
        "Look at the data: the labels may be random or contradict each other (kto-tui data check); "
        "if they are sound, raise learning_rate or train longer",
    )


def loss_flat(evidence: Evidence) -> Verdict | None:
    """The loss is where an untrained model's is."""
    loss, start = evidence.late("loss"), evidence.untrained_loss
    if loss is None or start is None or evidence.progress < LATE or loss.mean < (1 - FLAT) * start:
        return None
    beta, rate = (units.compact(value) for value in (evidence.recipe.beta, evidence.recipe.learning_rate))
    return Verdict(
        "loss_flat",
        f"The loss is flat: {loss.mean:.3f} over the last {loss.points} points, that of the base model is {start:.3f}",
        f"Raise beta, now {beta}, to 0.1" if evidence.recipe.beta < LOOSE_BETA else f"Raise learning_rate, now {rate}",
    )


def _short(rate: float) -> float:
    return float(f"{rate:.2g}")
