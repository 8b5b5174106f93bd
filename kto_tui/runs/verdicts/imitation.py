"""The rules for SFT, which has a loss and no rewards: does the loss fall, on held-out rows too?"""

from kto_tui import units
from kto_tui.runs.curves import Curves
from kto_tui.runs.state import RunState
from kto_tui.runs.verdicts.evidence import Evidence, first, newest, window
from kto_tui.runs.verdicts.verdict import Verdict

# Points at either end of the curve that "well" is read from.
ENDS = 10
# A held-out loss so far above its lowest, at two evaluations in a row: the same rows are scored each time, so that
# they scatter far less than rows drawn anew.
RISEN = 1.05


def loss_rising(evidence: Evidence) -> Verdict | None:
    """The training loss is clearly above where it began."""
    late, early = evidence.late("loss"), evidence.early("loss")
    if late is None or early is None or late.low <= early.high:
        return None
    rate = evidence.recipe.learning_rate
    return Verdict(
        "loss_rising",
        f"The loss is rising: {late.mean:.3f} over the last {late.points} points, {early.mean:.3f} over the first",
        f"Stop, and start again with learning_rate {units.compact(float(f'{rate / 10:.2g}'))} instead of "
        f"{units.compact(rate)}",
    )


def heldout_loss_rising(evidence: Evidence) -> Verdict | None:
    """The training loss falls while the held-out rows become less likely."""
    late, early = evidence.late("loss"), evidence.early("loss")
    scored = [(one.loss, one.step) for one in evidence.state.evaluations if one.loss is not None and one.rows]
    if late is None or early is None or late.high >= early.low or len(scored) < 3:
        return None
    lowest, when = min(scored)
    if min(loss for loss, _ in scored[-2:]) < RISEN * lowest:
        return None
    return Verdict(
        "heldout_loss_rising",
        f"Overfitting: the training loss is down to {late.mean:.3f}, but the held-out loss rose from {lowest:.3f} at "
        f"step {when} to {scored[-1][0]:.3f}",
        # Where the base model was best no number of steps is.
        f"Stop; next time {f'set steps to {when}, ' if when else ''}lower learning_rate or add rows",
    )


def well(curves: Curves, state: RunState) -> str:
    """``Healthy: …`` when the held-out loss, or as long as there is none the training loss, has clearly fallen."""
    scored = [one for one in state.evaluations if one.loss is not None]
    if len(scored) > 1:
        begin, last = scored[0], scored[-1]
        if last.loss is None or begin.loss is None or last.loss >= begin.loss:
            return ""
        where = f"from {begin.loss:.3f} at step {begin.step}"
        return f"Healthy: held-out loss {last.loss:.3f} of {last.rows} rows, {where}"
    series = curves.steps["loss"]
    late, early = window(newest(series, ENDS)), window(first(series, ENDS))
    if len(series) < 2 * ENDS or late is None or early is None or late.high >= early.low:
        return ""
    return f"Healthy: loss {late.mean:.3f}, from {early.mean:.3f} over the first {ENDS} points"
