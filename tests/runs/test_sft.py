"""An SFT run in words, tables and verdicts: its held-out loss takes the place of what only KTO has."""

import msgspec
import pytest

from kto_tui import units
from kto_tui.recipe import Recipe
from kto_tui.runs.compare import curve, differences, outcome, outcome_rows, picture, run_picture
from kto_tui.runs.config import RunConfig
from kto_tui.runs.curves import Curves
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import Ended
from kto_tui.runs.export import rows as exported
from kto_tui.runs.overview import summarise
from kto_tui.runs.page import markdown
from kto_tui.runs.reading import Reading
from kto_tui.runs.report import event_line, step_line, summary_lines
from kto_tui.runs.state import RunState, fold
from kto_tui.runs.verdicts import Verdict, healthy, judge
from kto_tui.tui.live_header import progress
from kto_tui.tui.run_table import NARROW, cells, detail
from tests.runs.made import made_run
from tests.runs.sft_run import CONFIG, PREPARED, falling, sft_events


def reading(name: str = "calm-owl", **given: object) -> Reading:
    one = Reading(made_run(name, sft_events(**given), config=CONFIG))  # type: ignore[arg-type]
    one.read()
    return one


def judged(losses: list[float], heldout: tuple[float, ...] = ()) -> tuple[list[Verdict], str]:
    events, curves = sft_events(losses, heldout), Curves()
    curves.add(events)
    state = fold(RunState(), events)
    return judge(curves, state, CONFIG.recipe), healthy(curves, state)


def test_the_held_out_loss_is_kept_in_the_log() -> None:
    found = Tail(made_run("calm-owl", sft_events()).events).read(100_000)
    assert found == sft_events()


def test_lines_and_summary_have_the_loss_and_no_rewards() -> None:
    state = fold(RunState(), sft_events())
    lines = [event_line(event, state) for event in sft_events()]
    assert "data: 320 rows to train on, 40 held out, 0 dropped, 0 cut" in lines
    assert "held-out loss 1.700 of 40 rows at step 40" in lines
    assert state.last_step is not None
    assert "loss 1.5" in step_line(state.last_step, state)
    assert not any(word in " ".join(filter(None, lines)) for word in ("margin", "KL", "accuracy", "undesirable"))
    assert summary_lines(state) == ["Held-out loss             before 2.600   after 1.700 of 40 rows"]


def test_the_base_models_loss_is_no_outcome() -> None:
    early = sft_events(falling()[:8], heldout=(2.6,))
    assert summary_lines(fold(RunState(), early)) == ["Held-out loss             before 2.600   after — of 40 rows"]
    one = summarise(made_run("calm-owl", early, config=CONFIG))
    assert (one.heldout_loss, one.heldout_loss_best) == (None, None)
    worse = reading("bold-fox", heldout=(1.6, 1.9, 1.7))
    assert (outcome(worse).heldout_loss_best, outcome(worse).heldout_loss_last) == (1.7, 1.7)
    ended = [*early, Ended(reason="stopped")]
    assert str(progress(fold(RunState(), ended), "stopped", None, 80)) == " stopped at step 8 of 40"


def test_the_list_of_runs_has_the_held_out_loss() -> None:
    one = summarise(made_run("calm-owl", sft_events(heldout=(2.6, 1.6, 1.7)), config=CONFIG))
    assert (one.heldout_accuracy, one.heldout_loss, one.heldout_loss_best) == (None, 1.7, 1.6)
    row = cells(one, "", NARROW, plain=True)
    assert (row["Best"].plain.strip(), row["Last"].plain.strip()) == ("1.60", "1.70")
    assert "held-out loss best 1.600, last 1.700 · curve: loss" in detail(one).plain


def test_compared_with_a_kto_run_each_figure_says_what_it_is() -> None:
    one, kto = reading(), Reading(made_run("bold-fox"))
    rows = outcome_rows(outcome(one))
    assert (rows["Held-out best"], rows["Reward margin"]) == ("loss 1.700", units.metric(None))
    assert curve(one, "heldout_loss") == [(0.0, 2.6), (20.0, 1.9), (40.0, 1.7)]
    assert "Label weights" not in differences([one, kto])
    assert differences([one, kto])["Method"] == ["sft", "kto"]
    assert "held-out loss" in picture([one, one])
    assert "reward margin" in picture([one, kto])
    assert "rewards" not in run_picture(one)


def test_beside_runs_with_label_weights_it_has_none() -> None:
    def weighed(name: str, weight: float) -> Reading:
        data = msgspec.structs.replace(PREPARED, undesirable=160, desirable_weight=weight)
        found = Reading(made_run(name, [data]))
        found.read()
        return found

    found = differences([reading(), weighed("bold-fox", 1.0), weighed("dry-elk", 2.0), Reading(made_run("new-ant"))])
    assert found["Label weights"] == ["-", "1 : 1", "2 : 1", units.UNKNOWN]


def test_beside_runs_that_differ_in_a_setting_of_kto_it_has_none() -> None:
    def pulled(name: str, beta: float) -> Reading:
        config = RunConfig(model="org/name", data="starter", recipe=Recipe(beta=beta))
        return Reading(made_run(name, config=config))

    found = differences([reading(), pulled("bold-fox", 0.1), pulled("dry-elk", 0.3)])
    assert found["Beta"] == ["-", "0.1", "0.3"]


def test_the_page_and_the_export_leave_nothing_blank() -> None:
    one = reading()
    page = markdown(one, "calm-owl.svg")
    assert "| Step | Loss | Rows |" in page
    assert "| 40 | 1.700 | 40 |" in page
    assert "| Completion only |" in page
    for other in ("Beta", "Loss | kto", "Desirable weight", "Undesirable weight"):
        assert f"| {other}" not in page
    assert "Loss is the mean of the last tenth" in page
    assert "Reward margin" not in page
    assert "Healthy: held-out loss 1.700 of 40 rows, from 2.600 at step 0." in page
    assert [row["heldout_loss"] for row in exported(one.run) if row["heldout_loss"] is not None] == [2.6, 1.9, 1.7]


def test_a_healthy_run_is_called_so_and_no_rule_of_kto_speaks() -> None:
    assert judged(falling(), (2.6, 1.9, 1.7)) == ([], "Healthy: held-out loss 1.700 of 40 rows, from 2.600 at step 0")
    found, well = judged(falling())
    assert not found
    assert well.startswith("Healthy: loss 1.6")
    assert judged(falling()[:5]) == ([], "")


@pytest.mark.parametrize(
    ("losses", "heldout", "rule", "says"),
    [
        (falling(), (2.6, 1.9, 1.8, 2.0, 2.1), "heldout_loss_rising", "rose from 1.800 at step 20 to 2.100"),
        (falling(), (1.6, 1.7, 1.8), "heldout_loss_rising", "Stop; next time lower learning_rate or add rows"),
        (falling()[::-1], (), "loss_rising", "learning_rate 1e-5 instead of 1e-4"),
        ([*falling(30), *[float("nan")] * 10], (), "steps_skipped", "no finite loss"),
    ],
)
def test_what_goes_wrong_is_said(losses: list[float], heldout: tuple[float, ...], rule: str, says: str) -> None:
    found, _ = judged(losses, heldout)
    assert found[0].rule == rule
    assert says in f"{found[0].sentence}. {found[0].advice}"


def test_one_evaluation_that_is_worse_says_nothing() -> None:
    assert judged(falling(), (2.6, 1.9, 1.7, 1.75))[0] == []


def test_kto_rules_stay_as_they_are_for_kto() -> None:
    events, curves = sft_events(), Curves()
    curves.add(events)
    found = judge(curves, fold(RunState(), events), Recipe(effective_batch=8))
    assert found[0].rule == "label_nearly_absent"
