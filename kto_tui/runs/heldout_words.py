"""The held-out figure of a run in words: KTO's reward accuracy, or the loss where answers are imitated."""

from collections.abc import Iterable, Sequence

from kto_tui import units
from kto_tui.runs.events import Evaluated


def figure(accuracy: float | None, loss: float | None, digits: int = 3) -> str:
    """The accuracy in percent; where there is none the loss, in nats per token, with ``digits`` behind its point."""
    return units.metric(loss, digits) if accuracy is None and loss is not None else units.percent(accuracy)


def name_of(accuracy: float | None, loss: float | None) -> str:
    """What ``figure`` is."""
    return "loss" if accuracy is None and loss is not None else "accuracy"


def said(one: Evaluated) -> str:
    """An evaluation in a few words."""
    return f"held-out {name_of(one.accuracy, one.loss)} {figure(one.accuracy, one.loss)} of {one.rows} rows"


def tuned(evaluations: Sequence[Evaluated]) -> list[Evaluated]:
    """Those of a model that was trained: not the base model's, which is no outcome."""
    return [one for one in evaluations if one.step]


def highest_known(accuracies: Iterable[float | None]) -> float | None:
    """The best accuracy that is known."""
    return max((one for one in accuracies if one is not None), default=None)


def lowest_known(losses: Iterable[float | None]) -> float | None:
    """The best loss that is known."""
    return min((one for one in losses if one is not None), default=None)


def best_of(evaluations: Sequence[Evaluated]) -> Evaluated:
    """The evaluation with the highest accuracy, else with the lowest loss; of no figures the first."""

    def rank(one: Evaluated) -> tuple[float, float]:
        loss = float("inf") if one.loss is None else one.loss
        return (-1.0 if one.accuracy is None else one.accuracy, -loss)

    return max(evaluations, key=rank)
