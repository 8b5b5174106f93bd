"""Whether the steps themselves are sound: labels there, losses and gradients finite and of one size."""

from kto_tui import units
from kto_tui.runs.verdicts.evidence import Evidence, newest
from kto_tui.runs.verdicts.verdict import Verdict

# arXiv:2402.01306 matches DPO with up to 90 % of one label left out; beyond that nothing is reported.
MOST_RATIO = 10.0
EXPLODED = 10.0
LOOKED_AT, BROKEN_SHARE = 10, 0.2


def label_nearly_absent(evidence: Evidence) -> Verdict | None:
    """Hardly any rows of one label."""
    data = evidence.state.data
    if data is None:
        return None
    counts = {"desirable": data.desirable, "undesirable": data.undesirable}
    rare, common = sorted(counts, key=counts.__getitem__)
    if not counts[common] or counts[rare] * MOST_RATIO >= counts[common]:
        return None
    return Verdict(
        "label_nearly_absent",
        f"There are {counts[rare]:,} {rare} rows among {sum(counts.values()):,}: the model sees hardly any, "
        "and learns to favour one kind of answer whatever it says",
        f"Add {rare} rows, one for every ten {common} ones at least",
    )


def steps_skipped(evidence: Evidence) -> Verdict | None:
    """Losses or gradients that are no finite number."""
    size = min(evidence.points, max(LOOKED_AT, evidence.points // 4))
    # fp16 finds its loss scale by gradients that are infinite: those are no fault.
    training = evidence.state.training
    names = ("loss",) if training is not None and training.precision == "fp16" else ("loss", "grad_norm")
    # What was never measured is not lost.
    curves = [evidence.curves.steps[name] for name in names]
    measured = [series for series in curves if any(one.low <= one.high for one in series)]
    lost = max((size - len(newest(series, size)) for series in measured), default=0)
    if lost < 2 or lost < BROKEN_SHARE * size:
        return None
    rate = evidence.recipe.learning_rate
    return Verdict(
        "steps_skipped",
        f"{lost} of the last {size} points have no finite loss or gradient: such steps teach nothing",
        f"Lower learning_rate, now {units.compact(rate)}, to a tenth; set precision to fp32 if that does not help",
    )


def gradients_exploding(evidence: Evidence) -> Verdict | None:
    """Gradients grew out of proportion."""
    late, early = evidence.late("grad_norm"), evidence.early("grad_norm")
    if late is None or early is None or late.middle < max(EXPLODED * early.middle, evidence.recipe.max_grad_norm):
        return None
    rate = units.compact(evidence.recipe.learning_rate)
    return Verdict(
        "gradients_exploding",
        f"Gradients are exploding: their norm is {late.middle:.3g}, {late.middle / early.middle:.0f} times that of "
        "the first points",
        f"Lower learning_rate, now {rate}, to a third; max_grad_norm 0.3 dampens it",
    )
