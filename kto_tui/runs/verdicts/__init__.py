"""How a training is going, in plain sentences: documented rules over the curves (docs/verdicts.md).

Pure, and cheap enough to be asked again whenever an event arrives.
"""

from collections.abc import Callable

from kto_tui import units
from kto_tui.recipe import Recipe
from kto_tui.runs.curves import Curves
from kto_tui.runs.report import imitates
from kto_tui.runs.state import RunState
from kto_tui.runs.verdicts import answers, heldout, imitation, movement, rewards, soundness
from kto_tui.runs.verdicts.evidence import Evidence, newest, window
from kto_tui.runs.verdicts.verdict import Verdict

__all__ = ["RULES", "SFT_RULES", "Verdict", "healthy", "judge"]

RECENT = 10
# Most important first. Causes come before what follows from them.
RULES: tuple[Callable[[Evidence], Verdict | None], ...] = (
    soundness.steps_skipped,
    movement.learning_rate_too_high,
    soundness.gradients_exploding,
    heldout.heldout_disagrees,
    soundness.label_nearly_absent,
    movement.beta_too_high,
    movement.beta_too_low,
    movement.learning_rate_too_low,
    heldout.overfit,
    rewards.kl_running_away,
    rewards.both_rewards_falling,
    rewards.one_label_only,
    movement.margin_not_growing,
    answers.answers_worse,
    rewards.kl_at_zero,
    movement.loss_flat,
)

# SFT has no rewards, no second label and no reference: what is said of those would mislead.
SFT_RULES: tuple[Callable[[Evidence], Verdict | None], ...] = (
    soundness.steps_skipped,
    imitation.loss_rising,
    soundness.gradients_exploding,
    imitation.heldout_loss_rising,
    answers.answers_worse,
)

# What follows from a cause is not told beside it: its own advice would mislead.
FOLLOWS = {
    "learning_rate_too_high": {
        "gradients_exploding", "heldout_disagrees", "beta_too_high", "both_rewards_falling", "one_label_only",
        "overfit", "kl_running_away", "kl_at_zero", "margin_not_growing", "loss_flat",
    },
    "loss_rising": {"gradients_exploding"},
    "beta_too_low": {"kl_running_away", "loss_flat", "both_rewards_falling"},
    "learning_rate_too_low": {"margin_not_growing", "loss_flat", "one_label_only"},
    "margin_not_growing": {"loss_flat"},
    "label_nearly_absent": {"one_label_only", "kl_running_away", "gradients_exploding", "loss_flat"},
}  # fmt: skip


def judge(curves: Curves, state: RunState, recipe: Recipe) -> list[Verdict]:
    """What is wrong with a run, most important first; empty when all is well or it is too early to say.

    Args:
        curves: of the run, to any step.
        state: the fold of the same events.
        recipe: the one in force.
    """
    evidence = Evidence(curves, state, recipe)
    rules = RULES if recipe.method == "kto" else SFT_RULES
    found = [verdict for rule in rules if (verdict := rule(evidence)) is not None]
    told: set[str] = set().union(*(FOLLOWS.get(verdict.rule, ()) for verdict in found))
    return [verdict for verdict in found if verdict.rule not in told]


def healthy(curves: Curves, state: RunState) -> str:
    """``Healthy: …`` with the figures that say so; empty before there are any. For a run ``judge`` is silent about."""
    if imitates(state):
        return imitation.well(curves, state)
    margin, kl = (window(newest(curves.steps[name], RECENT)) for name in ("margin", "kl"))
    if margin is None or margin.low <= 0:
        return ""
    words = [f"margin {units.metric(margin.mean, 2, signed=True)}"]
    last = next((one for one in reversed(state.evaluations) if one.accuracy is not None), None)
    if last is not None:
        words.append(f"held-out accuracy {units.percent(last.accuracy)} of {last.rows} rows")
    normal = "; KL 0 is normal while the margin grows" if kl is not None and kl.high == 0 else ""
    return f"Healthy: {', '.join(words)}{normal}"
