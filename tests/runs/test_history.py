"""Exports hold every logged step of the final history exactly, however often a run was resumed."""

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.runs.events import AnyEvent, Evaluated, GaugesRead, Noted, Resumed, Sampled, StepCompleted
from kto_tui.runs.export import COLUMNS, HELDOUT, write_csv, write_json, write_new
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.history import history
from kto_tui.runs.state import RunState, fold
from tests.runs.made import RECORDED, made_run, step, write

NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def exported(run: RunFolder, folder: Path) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The rows of the CSV and of the JSON file."""
    write_new(folder / "a.csv", lambda file: write_csv(run, file), force=False)
    write_new(folder / "a.json", lambda file: write_json(run, file), force=False)
    with (folder / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert told["run"] == run.id
    return rows, told["steps"]


def as_number(cell: str) -> float | None:
    return float(cell) if cell else None


@given(
    steps=st.lists(st.tuples(NUMBER, NUMBER, NUMBER), max_size=12),
    evaluations=st.dictionaries(st.integers(0, 15), NUMBER, max_size=4),
)
def test_csv_and_json_give_back_every_figure(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[float | None, ...]],
    evaluations: dict[int, float | None],
) -> None:
    folder = tmp_path_factory.mktemp("out")
    run = RunFolder(folder)
    events: list[AnyEvent] = [
        StepCompleted(step=at, total_steps=99, t=at / 7, loss=one, kl=two, grad_norm=three)
        for at, (one, two, three) in enumerate(steps, start=1)
    ]
    events += [Evaluated(step=at, rows=16, accuracy=value) for at, value in evaluations.items()]
    events.sort(key=lambda event: getattr(event, "step", 0))
    write(run, [GaugesRead(), *events, Noted(text="end")])
    rows, told = exported(run, folder)
    assert [*rows[0]] == [*told[0]] == [*COLUMNS] if rows else told == []
    assert [int(row["step"]) for row in rows] == sorted({*range(1, len(steps) + 1), *evaluations})
    by_step = {int(row["step"]): row for row in rows}
    for at, (one, two, three) in enumerate(steps, start=1):
        row = by_step[at]
        assert [as_number(row[name]) for name in ("t", "loss", "kl", "grad_norm")] == [at / 7, one, two, three]
    for at, value in evaluations.items():
        assert as_number(by_step[at][HELDOUT + "accuracy"]) == value
        assert by_step[at][HELDOUT + "rows"] == "16"
    for row, object_ in zip(rows, told, strict=True):
        assert {name: as_number(cell) for name, cell in row.items()} == object_


def test_the_recorded_run_line_by_line(tmp_path: Path) -> None:
    run = RunFolder(RECORDED / "warm-dove")
    rows, told = exported(run, tmp_path)
    lines = [json.loads(line) for line in run.events.read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["kind"] == "step_completed"]
    assert len(rows) == len(told) == len(steps) == 40
    for line, row in zip(steps, told, strict=True):
        assert {name: row[name] for name in line if name != "kind"} == {n: v for n, v in line.items() if n != "kind"}
    assert told[-1]["heldout_rows"] == 96


RESUMPTIONS = {
    "none": ([step(1), step(2)], [1, 2]),
    "once": ([step(1), step(2), step(3), Resumed(step=1), step(2, 0.4)], [1, 2]),
    "back further later": (
        [step(1), step(2), step(3), Resumed(step=2), step(3), step(4), Resumed(step=1), step(2), step(3)],
        [1, 2, 3],
    ),
    "back less later": ([step(1), step(2), step(3), Resumed(step=1), step(2), Resumed(step=2), step(3)], [1, 2, 3]),
    "anew": ([step(1), step(2), Resumed(step=0), step(1)], [1]),
    "at the end": ([step(1), step(2), step(3), Resumed(step=2)], [1, 2]),
}


@pytest.mark.parametrize("name", RESUMPTIONS)
def test_what_a_resumed_run_measured_again_is_there_once(name: str, tmp_path: Path) -> None:
    events, expected = RESUMPTIONS[name]
    run = made_run("bold-fox", events)
    rows, _ = exported(run, tmp_path)
    assert [int(row["step"]) for row in rows] == expected
    if name == "once":
        assert [float(row["loss"]) for row in rows] == [0.5, 0.4]


@given(st.lists(st.one_of(st.integers(1, 9).map(lambda n: -n), st.just(0), st.integers(1, 4)), max_size=40))
def test_the_final_history_is_what_the_fold_keeps(tmp_path_factory: pytest.TempPathFactory, moves: list[int]) -> None:
    """Resumed at random steps: evaluations and answers are those that the state of the run has."""
    events: list[AnyEvent] = []
    at = 0
    for move in moves:
        if move <= 0:
            at = max(0, at + move)
            events.append(Resumed(step=at))
        else:
            at += move
            events += [step(at, total=999), Evaluated(step=at, rows=1, accuracy=0.5), Sampled(step=at, answers=())]
    run = RunFolder(tmp_path_factory.mktemp("run"))
    write(run, events)
    state, told = fold(RunState(), events), list(history(run.events))
    assert [one for one in told if isinstance(one, Evaluated)] == list(state.evaluations)
    assert [one for one in told if isinstance(one, Sampled)] == list(state.samples)
    steps = [one.step for one in told if isinstance(one, StepCompleted)]
    assert steps == sorted(set(steps))


def test_what_is_written_while_a_file_is_made_is_left_out() -> None:
    run = made_run("bold-fox", [step(1), step(2)])
    told = history(run.events)
    assert next(told) == step(1)
    write(run, [Resumed(step=0), step(1, 0.1)])
    assert list(told) == [step(2)]


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    run, target = made_run("bold-fox", [step(1)]), tmp_path / "a.csv"
    target.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_new(target, lambda file: write_csv(run, file), force=False)
    assert target.read_text() == "mine"
    write_new(target, lambda file: write_csv(run, file), force=True)
    assert target.read_text().startswith("step,t,")
    with pytest.raises(UserError, match="cannot be written"):
        write_new(tmp_path / "none" / "a.csv", lambda file: write_csv(run, file), force=False)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "runs"}


def test_a_long_log_is_never_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    run = made_run("bold-fox")
    line = msgspec.json.encode(step(1, 0.123456789)) + b"\n"
    run.events.write_bytes(line * 60_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in history(run.events))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 60_000
    assert peak < 30e6, "one block of lines, not all of them"
