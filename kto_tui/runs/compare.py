"""Runs side by side: the choices in which they differ, what came out, and their curves in one picture."""

from collections.abc import Sequence

import msgspec

from kto_tui import units
from kto_tui.choices import DataChoices
from kto_tui.errors import UserError
from kto_tui.paths import with_tilde
from kto_tui.recipe import FIELDS, fields_of
from kto_tui.recipe_text import show_value
from kto_tui.runs.folder import RunFolder, find_run
from kto_tui.runs.heldout_words import figure, highest_known, lowest_known, name_of, tuned
from kto_tui.runs.reading import Reading, highest, last, last_tenth
from kto_tui.runs.report import imitates
from kto_tui.runs.state import Status
from kto_tui.runs.svg import Line, Panel, draw

FEWEST, MOST = 2, 6  # runs at once: a table of more is no longer read, nor are more lines told apart
METRICS = {
    "loss": "loss",
    "margin": "reward margin",
    "kl": "KL",
    "heldout": "held-out accuracy",
    "heldout_loss": "held-out loss",
    "accuracy": "reward accuracy",
    "reward_desirable": "reward, desirable",
    "reward_undesirable": "reward, undesirable",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
    "tokens_per_second": "tokens per second",
}
HELDOUT = {"heldout": "accuracy", "heldout_loss": "loss"}
NONE = "-"
WEIGHTS = "Label weights"
_LABELS = {field.label for field in FIELDS}
PICTURED = ("loss", "margin", "kl", "heldout")
# Of runs that all imitate and so have no rewards.
PICTURED_SFT = ("loss", "heldout_loss", "grad_norm", "learning_rate")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one run. Final values are means of the last tenth of the curve; None is unknown.

    Attributes:
        heldout_best: held-out accuracy of KTO, ``heldout_last`` the newest.
        heldout_loss_best: held-out loss of SFT in nats per token, ``heldout_loss_last`` the newest.
        peak_bytes: most memory seen in use on the GPU, else by the backend's allocator, else by the process.
        seconds: spent on training steps.
        watt_hours: that the GPU drew while its gauges were read.
    """

    id: str
    title: str
    state: Status
    step: int
    total_steps: int | None
    loss: float | None
    margin: float | None
    kl: float | None
    heldout_best: float | None
    heldout_last: float | None
    heldout_loss_best: float | None
    heldout_loss_last: float | None
    tokens_per_second: float | None
    peak_bytes: float | None
    seconds: float | None
    watt_hours: float | None


def chosen(names: Sequence[str]) -> list[RunFolder]:
    """The runs called ``names``.

    Raises:
        UserError: there is none or more than one of a name, one is named twice, or they are too few or too many.
    """
    runs = [find_run(name) for name in names]
    if twice := next((run.id for at, run in enumerate(runs) if run.path in {one.path for one in runs[:at]}), None):
        raise UserError(f"The run {twice} is named twice", mend="Name each run once")
    if not FEWEST <= len(runs) <= MOST:
        raise UserError(f"{len(runs)} runs cannot be compared", mend=f"Name {FEWEST} to {MOST}")
    return runs


def outcome(one: Reading) -> Outcome:
    """The figures of a run as far as it has come."""
    state, steps, gauges = one.state, one.curves.steps, one.curves.gauges
    accuracies, losses = ([getattr(one, name) for one in tuned(state.evaluations)] for name in ("accuracy", "loss"))
    seconds, tokens = last(one.passed["seconds"]), last(one.passed["tokens"])
    # On a GPU all that is used; else what the allocator had, which a process's own memory may leave out.
    peaks = (highest(gauges["gpu_used_bytes"]), state.allocator_peak_bytes, highest(gauges["process_bytes"]))
    return Outcome(
        id=one.run.id,
        title=one.about.title,
        state=one.run.status(state),
        step=state.step,
        total_steps=state.total_steps,
        loss=last_tenth(steps["loss"]),
        margin=last_tenth(steps["margin"]),
        kl=last_tenth(steps["kl"]),
        heldout_best=highest_known(accuracies),
        heldout_last=accuracies[-1] if accuracies else None,
        heldout_loss_best=lowest_known(losses),
        heldout_loss_last=losses[-1] if losses else None,
        tokens_per_second=tokens / seconds if tokens is not None and seconds else None,
        peak_bytes=next((peak for peak in peaks if peak is not None), None),
        seconds=seconds,
        watt_hours=None if state.joules is None else state.joules / 3600,
    )


def outcome_rows(one: Outcome) -> dict[str, str]:
    """An outcome for people, by the name of each figure."""
    return {
        "State": one.state,
        "Steps": f"{one.step} of {one.total_steps or '?'}",
        "Loss": units.metric(one.loss),
        "Reward margin": units.metric(one.margin, 2, signed=True),
        "KL": units.metric(one.kl, 2),
        "Held-out best": _heldout(one.heldout_best, one.heldout_loss_best),
        "Held-out last": _heldout(one.heldout_last, one.heldout_loss_last),
        "Tokens/s": units.metric(one.tokens_per_second, 0),
        "Peak memory": units.size(one.peak_bytes),
        "Training time": units.duration(one.seconds),
        "GPU energy": units.energy(one.watt_hours),
    }


def _heldout(accuracy: float | None, loss: float | None) -> str:
    known = f"loss {figure(accuracy, loss)}"
    return known if name_of(accuracy, loss) == "loss" else figure(accuracy, loss)


def choices(one: Reading) -> dict[str, str]:
    """Everything that was chosen for a run or found when it began, in words by name; what is not known is missing."""
    config, state = one.config, one.state
    told: dict[str, str] = {}
    if config is not None:
        recipe = {field: getattr(config.recipe, field.name) for field in fields_of(config.recipe.method)}
        fingerprint = {} if config.data_fingerprint is None else {"Data fingerprint": config.data_fingerprint[:12]}
        told = {
            "Model": with_tilde(config.model),
            "Data": with_tilde(config.data),
            **fingerprint,
            "Held-out file": NONE if config.heldout is None else with_tilde(config.heldout),
            "Trial": "yes" if config.trial else "no",
            "Backend": config.backend,
            **{f"Data {name}": _shown(getattr(config.choices, name)) for name in DataChoices.__struct_fields__},
            **{field.label: show_value(field, value) for field, value in recipe.items()},
        }
    if state.data is not None:
        data, labelled = state.data, not imitates(state)
        told["Rows trained on"] = f"{data.train_rows}" + (
            f" ({data.desirable} : {data.undesirable})" if labelled else ""
        )
        told["Rows held out"] = str(data.heldout_rows)
        if labelled:
            told[WEIGHTS] = f"{data.desirable_weight:g} : {data.undesirable_weight:g}"
    if state.training is not None:
        told |= {"Device": state.training.device, "Trained in": state.training.precision}
    if state.started is not None:
        told |= {"Host": state.started.host} | state.started.versions
    return told


def differences(readings: Sequence[Reading]) -> dict[str, list[str]]:
    """The choices of which not all runs are known to have the same: what each has, by name."""
    each = [choices(one) for one in readings]
    names = dict.fromkeys(name for told in each for name in told)
    unlike = (name for name in names if len({told[name] for told in each if name in told}) > 1)
    return {
        name: [told.get(name, _unsaid(one, name)) for one, told in zip(readings, each, strict=True)] for name in unlike
    }


def _unsaid(one: Reading, name: str) -> str:
    """For a choice that a run does not tell: an SFT run has no weights, and no settings of other methods."""
    of_another_method = one.config is not None and name in _LABELS
    return NONE if of_another_method or (name == WEIGHTS and imitates(one.state)) else units.UNKNOWN


def curve(one: Reading, metric: str) -> list[tuple[float, float | None]]:
    """The curve of one of ``METRICS``; x is the step."""
    if metric in HELDOUT:
        return list(one.curves.heldout[HELDOUT[metric]].points())
    return one.points(metric)


def picture(readings: Sequence[Reading]) -> str:
    """Four charts with a line for each run, as SVG."""
    pictured = PICTURED_SFT if all(imitates(one.state) for one in readings) else PICTURED
    panels = [
        Panel(METRICS[metric], [Line(one.name, curve(one, metric), style) for style, one in enumerate(readings)])
        for metric in pictured
    ]
    return draw(" · ".join(one.name for one in readings), panels)


def run_picture(one: Reading) -> str:
    """The charts of one run, as SVG: six, or the three of a run that has no rewards."""
    steps, heldout = one.curves.steps, one.curves.heldout

    def lines(**named: str) -> list[Line]:
        return [Line(name, list(steps[metric].points()), at) for at, (name, metric) in enumerate(named.items())]

    loss = Panel("loss", [*lines(training="loss"), Line("held out", list(heldout["loss"].points()), 1)])
    steady = [Panel("gradient norm", lines(norm="grad_norm")), Panel("learning rate", lines(rate="learning_rate"))]
    if imitates(one.state):
        return draw(one.name, [loss, *steady])
    return draw(
        one.name,
        [
            Panel("loss", lines(loss="loss")),
            Panel("rewards", lines(margin="margin", desirable="reward_desirable", undesirable="reward_undesirable")),
            Panel("KL", lines(KL="kl")),
            Panel(
                "reward accuracy",
                [*lines(training="accuracy"), Line("held out", list(heldout["accuracy"].points()), 1)],
            ),
            *steady,
        ],
    )


def _shown(value: object) -> str:
    match value:
        case None | ():
            return NONE
        case dict():
            return ", ".join(f"{key}={held}" for key, held in value.items()) or NONE
        case tuple():
            return f"{len(value)}: " + ", ".join(map(str, value[:5])) + (" …" if len(value) > 5 else "")
        case _:
            return str(value)
