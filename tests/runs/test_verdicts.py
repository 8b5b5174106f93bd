"""Verdicts: silent at every moment of healthy runs, said before the end of sick ones, in figures one can check."""

from collections.abc import Callable
from itertools import pairwise
from statistics import fmean

import msgspec
import pytest

from kto_tui.recipe import Recipe
from kto_tui.runs.curves import STEP_METRICS, Curves
from kto_tui.runs.events import (
    Answer,
    AnyEvent,
    DataPrepared,
    Evaluated,
    Resumed,
    Sampled,
    StepCompleted,
    TrainingStarted,
)
from kto_tui.runs.state import RunState, fold
from kto_tui.runs.verdicts import RULES, Verdict, healthy, judge
from tests.runs.recorded_runs import Recorded, first_steps, recordings, replay

ALL = recordings()
# Runs nothing may be said about; lr_x20 was meant to be sick, but dips and recovers.
HEALTHY = [one for one in ALL if one.fires is None]
SICK = [one for one in ALL if one.fires is not None]
RECIPE = Recipe(effective_batch=8)


def each(runs: list[Recorded]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", runs, ids=lambda run: run.name)


def judged(events: list[AnyEvent], recipe: Recipe = RECIPE) -> list[Verdict]:
    curves = Curves()
    curves.add(events)
    return judge(curves, fold(RunState(), events), recipe)


@each(HEALTHY)
def test_a_healthy_run_is_never_spoken_about(run: Recorded) -> None:
    assert first_steps(run.events(), run.recipe) == {}


@each(HEALTHY)
def test_a_healthy_run_is_called_so_with_its_figures(run: Recorded) -> None:
    events = run.events()
    curves = Curves()
    curves.add(events)
    state = fold(RunState(), events)
    words = healthy(curves, state)
    assert words.startswith("Healthy: margin +")
    assert f"{state.evaluations[-1].accuracy:.0%} of {state.evaluations[-1].rows} rows" in words


@each(SICK)
def test_a_sick_run_is_told_before_its_end_and_why(run: Recorded) -> None:
    events = run.events()
    *_, (_, last) = replay(events, run.recipe)
    assert last[0].rule == run.fires
    assert first_steps(events, run.recipe)[run.fires] == run.step


@each(SICK)
def test_one_batch_of_events_says_what_many_say(run: Recorded) -> None:
    events = run.events()
    *_, (_, last) = replay(events, run.recipe)
    assert judged(events, run.recipe) == last


def merged(events: list[AnyEvent], every: int) -> list[AnyEvent]:
    """The events as a run with ``log_every = every`` would have written them; the first step is always logged."""
    kept: list[AnyEvent] = []
    since: list[StepCompleted] = []
    for event in events:
        if not isinstance(event, StepCompleted):
            kept.append(event)
            continue
        since.append(event)
        if event.step % every and event.step != 1:
            continue
        means = {
            name: fmean(known) if (known := [v for one in since if (v := getattr(one, name)) is not None]) else None
            for name in STEP_METRICS
        }
        tokens = sum(one.tokens or 0 for one in since)
        kept.append(msgspec.structs.replace(event, **means, tokens=tokens))
        since = []
    return kept


def gapped(events: list[AnyEvent]) -> list[AnyEvent]:
    """Every fourth point lost one label, as a window of one label has it."""
    lost = dict.fromkeys(("reward_undesirable", "accuracy_undesirable", "margin"))
    return [
        msgspec.structs.replace(event, **lost) if isinstance(event, StepCompleted) and event.step % 4 == 0 else event
        for event in events
    ]


def resumed(events: list[AnyEvent]) -> list[AnyEvent]:
    """The run was killed at two thirds and went on from the middle."""
    steps = max(event.step for event in events if isinstance(event, StepCompleted))
    stamped = [(getattr(event, "step", 0), event) for event in events]
    before = [event for step, event in stamped if step <= 2 * steps // 3]
    return [*before, Resumed(step=steps // 2), *(event for step, event in stamped if step > steps // 2)]


CHANGES: dict[str, Callable[[list[AnyEvent]], list[AnyEvent]]] = {
    "log every 2": lambda events: merged(events, 2),
    "log every 3": lambda events: merged(events, 3),
    "gaps": gapped,
    "resumed": resumed,
    "no held-out rows": lambda events: [event for event in events if not isinstance(event, Evaluated)],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@each(HEALTHY)
def test_a_healthy_run_stays_so_however_it_is_logged(
    run: Recorded, change: Callable[[list[AnyEvent]], list[AnyEvent]]
) -> None:
    assert first_steps(change(run.events()), run.recipe) == {}


@pytest.mark.parametrize("change", ["gaps", "resumed"])
@each(SICK)
def test_a_sick_run_stays_so_with_gaps_and_after_a_resume(run: Recorded, change: str) -> None:
    assert run.fires in first_steps(CHANGES[change](run.events()), run.recipe)


def test_labels_swapped_in_both_files_cannot_be_seen() -> None:
    """What the documentation says plainly. The training is that of the recording; held-out signs turn with labels."""
    run = next(one for one in SICK if one.name == "train_flipped")
    swapped: list[AnyEvent] = [
        msgspec.structs.replace(
            event,
            accuracy=1 - event.accuracy,
            accuracy_desirable=1 - event.accuracy_undesirable,
            accuracy_undesirable=1 - event.accuracy_desirable,
            reward_desirable=event.reward_undesirable,
            reward_undesirable=event.reward_desirable,
            margin=-event.margin,
        )
        if isinstance(event, Evaluated)
        else event
        for event in run.events()
    ]
    assert first_steps(swapped, run.recipe) == {}


@each(ALL)
def test_a_few_steps_say_nothing_about_the_curves(run: Recorded) -> None:
    begun = [event for event in run.events() if getattr(event, "step", 0) <= 2]
    assert {verdict.rule for verdict in judged(begun, run.recipe)} <= {"label_nearly_absent"}


# Constructed runs: what no recording shows alone.

Curve = Callable[[int], float | None]
ZIGZAG = (0.2, -0.1, 0.0, 0.1, -0.2)


def built(steps: int = 40, total: int = 40, rows: tuple[int, int] = (248, 248), **curves: Curve) -> list[AnyEvent]:
    """A run that learns, steadily but for a zigzag; ``curves`` replace its own. Beta 0.1, 60 tokens a row."""
    healthy_curves: dict[str, Curve] = {
        "loss": lambda n: 0.5 - 0.3 * n / total,
        "kl": lambda _: 0.0,
        "reward_desirable": lambda n: 1.0 * n / total + ZIGZAG[n % 5] / 2,
        "reward_undesirable": lambda n: -2.0 * n / total + ZIGZAG[n % 5],
        "margin": lambda n: 3.0 * n / total - ZIGZAG[n % 5] / 2,
        "accuracy": lambda _: 0.9,
        "accuracy_desirable": lambda _: 0.9,
        "accuracy_undesirable": lambda _: 0.9,
        "grad_norm": lambda n: 0.7 + ZIGZAG[n % 5],
        "learning_rate": lambda _: 1e-4,
    }
    data = DataPrepared(
        train_rows=sum(rows),
        heldout_rows=96,
        desirable=rows[0],
        undesirable=rows[1],
        dropped_rows=0,
        cut_rows=0,
        desirable_weight=1.0,
        undesirable_weight=1.0,
        weights_because="",
    )
    begun = TrainingStarted(
        total_steps=total, device="cpu", precision="bf16", trainable_parameters=1, total_parameters=2
    )
    points = [
        StepCompleted(
            step=n, total_steps=total, tokens=480, **{name: at(n) for name, at in (healthy_curves | curves).items()}
        )
        for n in range(1, steps + 1)
    ]
    return [data, begun, *points]


def scored(step: int, accuracy: float, margin: float, rows: int = 96) -> Evaluated:
    return Evaluated(
        step=step,
        rows=rows,
        accuracy=accuracy,
        accuracy_desirable=accuracy,
        accuracy_undesirable=accuracy,
        reward_desirable=margin / 2,
        reward_undesirable=-margin / 2,
        margin=margin,
    )


def answered(step: int, *texts: str, finished: bool = True) -> Sampled:
    return Sampled(step=step, answers=tuple(Answer(prompt="?", text=text, finished=finished) for text in texts))


def with_noise(level: float) -> Curve:
    return lambda n: level + ZIGZAG[n % 5]


FINE = ["Yes, for three months.", "About nine weeks.", "No.", "Eight."]
SICK_CASES: dict[str, tuple[str, list[AnyEvent], Recipe]] = {
    "both fall": (
        "both_rewards_falling",
        built(
            reward_desirable=lambda n: -0.05 * n + ZIGZAG[n % 5],
            reward_undesirable=lambda n: -0.2 * n,
            accuracy_desirable=lambda _: 0.2,
        ),
        RECIPE,
    ),
    "all become likelier": (
        "one_label_only",
        built(reward_undesirable=with_noise(0.6), margin=with_noise(0.5), accuracy_undesirable=lambda _: 0.1),
        RECIPE,
    ),
    "unrelated answers become likelier": (
        "kl_running_away",
        built(kl=lambda n: 2.0 * n + ZIGZAG[n % 5]),
        RECIPE,
    ),
    "losses are lost": ("steps_skipped", built(loss=lambda n: None if n % 3 == 0 else 0.5), RECIPE),
    "gradients grow": ("gradients_exploding", built(grad_norm=lambda n: 0.5 * 1.2**n), RECIPE),
    "loss stays": (
        "loss_flat",
        built(loss=with_noise(0.499), margin=lambda n: 0.3 + ZIGZAG[n % 5] / 5),
        RECIPE,
    ),
    "a label is rare": ("label_nearly_absent", built(rows=(400, 20)), RECIPE),
    "answers become empty": (
        "answers_worse",
        [*built(), answered(0, *FINE), answered(40, "Yes.", "", " ", "-")],
        RECIPE,
    ),
    "answers loop": (
        "answers_worse",
        [*built(), answered(0, *FINE), answered(40, *["to be or not to be " * 8] * 3, "Eight.")],
        RECIPE,
    ),
    "answers never end": (
        "answers_worse",
        [*built(), answered(0, *FINE), answered(40, *FINE, finished=False)],
        RECIPE,
    ),
    "held-out rows forgotten": (
        "overfit",
        [*built(), scored(10, 0.9, 2.0), scored(20, 0.85, 1.7), scored(30, 0.7, 1.2), scored(40, 0.7, 1.1)],
        RECIPE,
    ),
}


@pytest.mark.parametrize(("rule", "events", "recipe"), SICK_CASES.values(), ids=SICK_CASES)
def test_a_fault_made_on_purpose_is_the_first_verdict(rule: str, events: list[AnyEvent], recipe: Recipe) -> None:
    assert [verdict.rule for verdict in judged(events, recipe)][:1] == [rule]


FINE_CASES: dict[str, list[AnyEvent]] = {
    "learns": built(),
    "nothing yet": [],
    "no step yet": built(steps=0),
    "no figures at all": [StepCompleted(step=n, total_steps=40) for n in range(1, 41)],
    "no gradient norms": built(grad_norm=lambda _: None),
    "KL 0 and only the undesirable fall": built(reward_desirable=with_noise(0.0)),
    "a good start of a long run": built(steps=40, total=100_000),
    "held-out margin dips once": [*built(), scored(20, 0.9, 2.0), scored(30, 0.8, 1.2), scored(40, 0.9, 1.9)],
    "few held-out rows, few of them right": [*built(), scored(40, 0.375, -0.2, rows=16)],
    "one label's curve is gone": built(reward_undesirable=lambda _: None, margin=lambda _: None),
    "answers ended as before": [*built(), answered(0, *FINE, finished=False), answered(40, *FINE, finished=False)],
    "too few answers to say": [*built(), answered(0, "Yes."), answered(40, "")],
}


@pytest.mark.parametrize("events", FINE_CASES.values(), ids=FINE_CASES)
def test_what_only_looks_odd_is_no_fault(events: list[AnyEvent]) -> None:
    assert judged(events) == []


def test_the_first_infinite_gradients_of_fp16_are_no_fault() -> None:
    data, begun, *points = built(steps=8, grad_norm=lambda n: None if n < 6 else 0.7)
    assert [verdict.rule for verdict in judged([data, begun, *points])] == ["steps_skipped"]
    fp16 = msgspec.structs.replace(begun, precision="fp16")
    assert judged([data, fp16, *points]) == []


def test_rules_see_log_ratios_so_that_beta_does_not_change_what_they_find() -> None:
    """The same log-ratios under another beta."""
    for factor in (0.2, 1.0, 5.0):
        names = ("reward_desirable", "reward_undesirable", "margin")
        events = [
            msgspec.structs.replace(one, **{name: factor * getattr(one, name) for name in names})
            if isinstance(one, StepCompleted)
            else one
            for one in SICK_CASES["both fall"][1]
        ]
        recipe = msgspec.structs.replace(RECIPE, beta=0.1 * factor)
        assert [verdict.rule for verdict in judged(events, recipe)][:1] == ["both_rewards_falling"]


def test_a_verdict_says_its_figures_in_one_sentence_and_what_to_change() -> None:
    for _, events, recipe in SICK_CASES.values():
        for verdict in judged(events, recipe):
            assert any(letter.isdigit() for letter in verdict.sentence)
            assert not verdict.sentence.endswith(".")
            assert verdict.advice
            assert "nan" not in verdict.sentence


def test_every_rule_fires_somewhere() -> None:
    names = [rule.__name__ for rule in RULES]
    fired = {rule for run in SICK for rule in first_steps(run.events(), run.recipe)}
    fired |= {verdict.rule for _, events, recipe in SICK_CASES.values() for verdict in judged(events, recipe)}
    assert fired == set(names)
    assert all(one != other for one, other in pairwise(names))


def test_healthy_says_nothing_before_the_margin_does() -> None:
    for events in (built(steps=3), built(margin=with_noise(0.0))):
        curves = Curves()
        curves.add(events)
        assert healthy(curves, fold(RunState(), events)) == ""
