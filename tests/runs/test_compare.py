"""Runs side by side, on real recorded runs and on constructed ones."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from kto_tui.errors import UserError
from kto_tui.paths import with_tilde
from kto_tui.recipe import Recipe
from kto_tui.runs import compare, png
from kto_tui.runs.compare import METRICS, chosen, curve, differences, outcome, outcome_rows, picture, run_picture
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import Adjusted, AllocatorRead, Evaluated, GaugesRead, Resumed, WorkerStarted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.png import to_png
from kto_tui.runs.reading import Reading, last_tenth
from kto_tui.runs.svg import COLOURS, DASHES, Line, Panel, draw
from kto_tui.units import GIB
from tests.runs.made import CONFIG, RECORDED, made_run, step, write

SVG = "{http://www.w3.org/2000/svg}"


def read(run: RunFolder) -> Reading:
    one = Reading(run)
    one.read()
    return one


@pytest.fixture(scope="module")
def recorded() -> list[Reading]:
    return [read(RunFolder(RECORDED / name)) for name in ("warm-dove", "quick-heron", "bold-lynx")]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own text


# Choices


def test_only_what_differs_is_told(recorded: list[Reading]) -> None:
    _, again, fast = recorded
    assert differences([again, fast]) == {"Learning rate": ["3e-4", "0.03"]}
    assert differences([again, again]) == {}


def test_model_data_split_and_versions_are_choices_too() -> None:
    other = RunConfig(
        model="org/other", data="/data/rows.jsonl", recipe=Recipe(beta=0.3), trial=True, data_fingerprint="f" * 64
    )
    old = read(made_run("bold-fox", [WorkerStarted(host="a", pid=1, versions={"torch": "2.12"})]))
    new = read(made_run("calm-owl", [WorkerStarted(host="a", pid=1, versions={"torch": "2.13"})], config=other))
    assert differences([old, new]) == {
        "Model": ["org/name", "org/other"],
        "Data": ["starter", "/data/rows.jsonl"],
        "Trial": ["no", "yes"],
        "Beta": ["0.1", "0.3"],
        "torch": ["2.12", "2.13"],
    }


def test_what_is_not_known_of_one_run_is_no_difference_of_the_others() -> None:
    known = [read(made_run(f"run-{beta}", config=changed(beta=beta))) for beta in (0.1, 0.2)]
    damaged = made_run("bold-fox")
    damaged.config.write_text("beta", encoding="utf-8")
    assert differences([known[0], read(damaged)]) == {}
    assert differences([*known, read(damaged)]) == {"Beta": ["0.1", "0.2", "unknown"]}


def changed(**recipe: object) -> RunConfig:
    return msgspec.structs.replace(CONFIG, recipe=msgspec.structs.replace(CONFIG.recipe, **recipe))


def test_what_the_recovery_lowered_is_in_force_and_what_a_person_set_is_not_a_choice() -> None:
    lowered = Adjusted(name="micro_batch", before=4, after=2, because="memory", by="recovery")
    person = Adjusted(name="log_every", before=1, after=5, because="asked", by="person")
    one, other = read(made_run("bold-fox", [lowered, person])), read(made_run("calm-owl"))
    assert differences([one, other]) == {"Micro-batch": ["2 rows", "4 rows"]}


# Outcomes


def test_the_outcome_of_a_real_run(recorded: list[Reading]) -> None:
    one = outcome(recorded[0])
    assert (one.state, one.step, one.total_steps, one.watt_hours) == ("finished", 40, 40, None)
    losses = [event.loss for event in steps_of(recorded[0])]
    assert one.loss == pytest.approx(sum(losses[-4:]) / 4)
    assert one.seconds == pytest.approx(sum(event.seconds for event in steps_of(recorded[0])))
    tokens = sum(event.tokens for event in steps_of(recorded[0]))
    assert one.tokens_per_second == pytest.approx(tokens / one.seconds)
    assert one.heldout_best == one.heldout_last == recorded[0].state.evaluations[-1].accuracy
    assert outcome_rows(one)["Held-out best"] == "86%"
    assert outcome_rows(one)["GPU energy"] == "unknown"


def steps_of(one: Reading) -> list[object]:
    from kto_tui.runs.events import StepCompleted
    from kto_tui.runs.history import history

    return [event for event in history(one.run.events) if isinstance(event, StepCompleted)]


def test_nothing_is_made_up_of_a_run_that_has_not_begun() -> None:
    rows = outcome_rows(outcome(read(made_run("bold-fox"))))
    assert set(rows.values()) == {"died", "0 of ?", "–", "unknown"}


def test_memory_energy_and_the_best_evaluation() -> None:
    gauges = [
        GaugesRead(t=1000.0 + 10 * i, gpu_used_bytes=(3 + i % 2) * GIB, process_bytes=9 * GIB, gpu_watts=360.0)
        for i in range(11)
    ]
    evaluations = [Evaluated(step=at, rows=9, accuracy=value) for at, value in ((1, 0.5), (2, 0.9), (3, 0.7))]
    one = outcome(read(made_run("bold-fox", [*gauges, *evaluations])))
    assert (one.peak_bytes, one.watt_hours) == (4 * GIB, pytest.approx(10.0))
    assert (one.heldout_best, one.heldout_last) == (0.9, 0.7)


def test_the_allocator_tells_the_peak_where_no_gpu_does() -> None:
    """Unified memory that Metal has is not part of the process's own."""
    read_there = [
        GaugesRead(t=1000.0, process_bytes=2 * GIB),
        AllocatorRead(t=1001.0, active_bytes=4 * GIB, cache_bytes=GIB, peak_bytes=6 * GIB),
    ]
    assert outcome(read(made_run("bold-fox", read_there))).peak_bytes == 6 * GIB


def test_time_and_tokens_of_a_resumed_run_count_what_is_kept() -> None:
    run = made_run("bold-fox", [step(1), step(2), step(3), Resumed(step=1), step(2), step(3)])
    one = read(run)
    assert (outcome(one).seconds, outcome(one).tokens_per_second) == (3.0, 100.0)
    assert [x for x, _ in one.points("loss", "tokens")] == [100.0, 200.0, 300.0]
    assert [x for x, _ in one.points("loss", "seconds")] == [1.0, 2.0, 3.0]
    assert [x for x, _ in one.points("loss")] == [1.0, 2.0, 3.0]
    write(run, [step(4, 0.25)])
    assert one.read()
    assert one.points("loss", "tokens")[-1] == (400.0, 0.25)
    assert not one.read()


def test_tokens_that_were_not_counted_are_unknown() -> None:
    one = read(made_run("bold-fox", [step(1), msgspec.structs.replace(step(2), tokens=None), step(3)]))
    assert outcome(one).tokens_per_second is None
    assert one.points("loss", "tokens") == [(100.0, 0.5)]


def test_a_curve_of_many_steps_keeps_its_place_along_tokens() -> None:
    one = read(made_run("bold-fox", [step(number, float(number), total=9000) for number in range(1, 9001)]))
    by_step, by_tokens = one.points("loss"), one.points("loss", "tokens")
    assert len(by_tokens) == len(by_step)
    assert all(abs(x / 100 - y) <= 8 for x, y in by_tokens if y is not None)
    assert last_tenth(one.curves.steps["loss"]) == pytest.approx(8550, rel=0.01)


# Which runs


def test_two_to_six_different_runs() -> None:
    for number in range(7):
        made_run(f"run-{number}")
    names = [f"run-{number}" for number in range(7)]
    assert [run.id for run in chosen(names[:6])] == names[:6]
    for wrong, words in ((names[:1], "1 runs cannot"), (names, "7 runs cannot"), (["run-1", "run-1"], "named twice")):
        with pytest.raises(UserError, match=words):
            chosen(wrong)


# Pictures


def test_a_picture_has_a_line_for_each_run_told_apart_without_colour(recorded: list[Reading]) -> None:
    root = parsed(picture(recorded))
    strokes = {(path.get("stroke"), path.get("stroke-dasharray")) for path in root.iter(f"{SVG}path")}
    assert {(colour, dashes or None) for colour, dashes in list(zip(COLOURS, DASHES, strict=True))[:3]} <= strokes
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for one in recorded:
        assert texts.count(one.name) == 4, "in the legend of each chart"
    assert {"loss", "reward margin", "KL", "held-out accuracy", "step"} <= set(texts)


def test_a_run_s_own_picture(recorded: list[Reading]) -> None:
    texts = [text.text for text in parsed(run_picture(recorded[1])).iter(f"{SVG}text")]
    assert {"starter again", "loss", "rewards", "desirable", "held out", "gradient norm"} <= set(texts)
    empty = parsed(run_picture(read(made_run("bold-fox"))))
    assert [text.text for text in empty.iter(f"{SVG}text")].count("no data") == 6


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, None)],
        [(1.0, 0.5)],
        [(1.0, 0.0), (2.0, 0.0)],
        [(1.0, float("nan")), (2.0, 1e300), (3.0, -1e300)],
        [(1.0, 1e-300), (2.0, 2e-300)],
        [(float(x), None if x % 7 == 0 else x**0.5) for x in range(5000)],
    ],
)
def test_any_curve_makes_a_picture_inside_its_frame(points: list[tuple[float, float | None]]) -> None:
    text = draw("<title> & \x00 more", [Panel("p", [Line("<a>", points), Line("b", [], 5)])])
    root = parsed(text)
    assert "nan" not in text
    assert "inf" not in text
    curves = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke") == COLOURS[0]]
    for number in " ".join(curves).replace("M", " ").replace("L", " ").replace("H", " ").split():
        assert -1 <= float(number) <= 480
    assert len(text) < 40_000, "no more points than pixels"


def test_gaps_are_not_bridged() -> None:
    text = draw("t", [Panel("p", [Line("a", [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, 1.0), (4.0, 2.0)])])])
    curve_path = next(path.get("d", "") for path in parsed(text).iter(f"{SVG}path") if path.get("stroke") == COLOURS[0])
    assert curve_path.count("M") == 2


def test_every_metric_has_a_curve(recorded: list[Reading]) -> None:
    for metric in METRICS:
        assert curve(recorded[1], metric), metric


def test_a_png_needs_a_package_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(UserError, match="resvg-py, which is not installed") as caught:
        to_png("<svg/>")
    assert png.INSTALL in str(caught.value)


def test_a_png_is_drawn_where_the_package_is(recorded: list[Reading]) -> None:
    pytest.importorskip("resvg_py", reason="the png extra is not installed")
    assert to_png(compare.picture(recorded)).startswith(b"\x89PNG\r\n")


def test_the_home_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/al")
    assert with_tilde("/home/al/rows.csv and /home/al, /home/alice/x /home/al.bak") == (
        "~/rows.csv and ~, /home/alice/x /home/al.bak"
    )
    monkeypatch.setenv("HOME", "/")
    assert with_tilde("/data") == "/data"
