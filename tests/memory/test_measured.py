"""Measured peaks and speeds: kept, read back whatever the file holds, and used on this machine alone."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kto_tui.catalog import find
from kto_tui.hardware import Hardware
from kto_tui.memory.measured import (
    KEPT_LINES,
    Correction,
    PeakRecord,
    SpeedRecord,
    add,
    correction,
    records,
    speeds,
    store,
)
from kto_tui.planner import place_of, propose
from kto_tui.speed import flops_per_token, speed
from kto_tui.units import GIB
from tests.memory.places import cuda, machine

MODEL = find("Qwen/Qwen2.5-1.5B-Instruct")
assert MODEL is not None
PIECES = [b"\n", b'{"kind":"peak"', b'{"kind":"speed","device":"card"', b"}", b"[", b"1e9", b'"', b",", b"\xff"]
CARD = cuda(24, name="NVIDIA GeForce RTX 3090")


def peak(device: str = "NVIDIA GeForce RTX 3090", factor: float = 1.1, outside: float | None = None) -> PeakRecord:
    """A run that needed ``factor`` times what was predicted beyond its weights."""
    return PeakRecord(
        device=device,
        run="run",
        weights=3 * GIB,
        predicted=5 * GIB,
        measured=3 * GIB + 2 * factor * GIB,
        outside=outside,
    )


def needed(hardware: Hardware) -> float:
    found = propose(MODEL, hardware).predicted
    assert found is not None
    return found.allocated - found.parts.weights


def test_a_machine_without_runs_is_not_corrected() -> None:
    assert records() == []
    assert correction("NVIDIA GeForce RTX 3090") is None
    assert correction(None) is None


def test_a_peak_above_its_prediction_raises_the_next_ones_on_this_device_only() -> None:
    recipe = propose(MODEL, CARD).recipe
    others = {"another card": cuda(24, name="NVIDIA T4"), "a processor": machine(), "planned": planned(CARD)}
    chosen = msgspec.structs.asdict(recipe)
    before = {name: place_of(one).estimate(MODEL, recipe) for name, one in others.items()}
    plain = place_of(CARD).estimate(MODEL, recipe)
    add(peak(outside=0.3 * GIB))
    found = propose(MODEL, CARD, overrides=chosen).predicted
    assert found is not None
    assert plain is not None
    assert found.allocated - found.parts.weights == pytest.approx(1.1 * (plain.allocated - plain.parts.weights))
    assert found.outside == 0.3 * GIB
    assert found.quality == "measured"
    assert {name: place_of(one).estimate(MODEL, recipe) for name, one in others.items()} == before


def planned(hardware: Hardware) -> Hardware:
    """The same machine, planned for and not sat at."""
    return msgspec.structs.replace(hardware, planned_as="rtx-3090-24gb")


def test_the_median_of_several_runs_counts() -> None:
    for factor, outside in ((1.1, 1.0), (1.0, None), (1.4, 3.0)):
        add(peak(factor=factor, outside=outside))
    found = correction("NVIDIA GeForce RTX 3090")
    assert found is not None
    assert found.factor == pytest.approx(1.1)
    assert (found.outside, found.runs) == (2.0, 3)


@pytest.mark.parametrize(("factor", "used"), [(0.1, 0.5), (30.0, 2.0)])
def test_a_run_that_was_not_the_predicted_one_moves_little(factor: float, used: float) -> None:
    add(peak(factor=factor))
    assert correction("NVIDIA GeForce RTX 3090") == Correction(used, None, 1)


def test_a_prediction_without_anything_beyond_the_weights_says_nothing() -> None:
    add(PeakRecord(device="card", run="run", weights=5.0, predicted=5.0, measured=9.0))
    add(PeakRecord(device="card", run="run", weights=5.0, predicted=9.0, measured=4.0))
    assert correction("card") is None


def test_damaged_lines_are_skipped() -> None:
    add(peak())
    whole = store().read_bytes()
    torn = whole.rstrip(b"\n")[:-7]
    store().write_bytes(torn)
    add(peak(factor=1.2))
    with store().open("ab") as file:
        file.write(b'\xff\xfe\n{"kind":"peak"}\n{"kind":"of a newer version"}\n[]\n\n{"kind":"peak","device":"')
    assert records() == [peak(factor=1.2)]


@pytest.mark.parametrize("value", ["NaN", "-1", "1e400", "1e300", '"5"', "null"])
def test_impossible_figures_are_skipped(value: str) -> None:
    line = f'{{"kind":"peak","device":"card","run":"r","weights":1.0,"predicted":2.0,"measured":{value}}}'
    store().parent.mkdir(parents=True, exist_ok=True)
    store().write_text(line + "\n", encoding="utf-8")
    assert correction("card") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\n", b'{"kind":"peak"', b"}", b"[", b"1e9", b'"'])).map(b"".join)
)
def test_no_content_of_the_file_raises(content: bytes) -> None:
    store().parent.mkdir(parents=True, exist_ok=True)
    store().write_bytes(content)
    records()
    correction("card")
    speeds("card")


@pytest.mark.parametrize("content", [b'{"kind":"peak","more":' + b"[" * 90_000, b"[" * 90_000])
def test_deeply_nested_content_is_skipped(content: bytes) -> None:
    store().parent.mkdir(parents=True, exist_ok=True)
    store().write_bytes(content + b"\n")
    assert records() == []


def test_a_folder_in_its_place_is_no_error() -> None:
    store().mkdir(parents=True)
    assert records() == []
    add(peak())
    assert correction("NVIDIA GeForce RTX 3090") is None


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("KTO_TUI_HOME", str(blocked))
    add(peak())
    assert records() == []


def test_old_records_make_room() -> None:
    for number in range(KEPT_LINES + 5):
        add(msgspec.structs.replace(peak(), run=str(number)))
    found = records()
    assert len(found) == KEPT_LINES
    assert found[-1].run == str(KEPT_LINES + 4)


def test_a_measured_speed_replaces_the_class_estimate_on_this_device_only() -> None:
    recipe = propose(MODEL, CARD).recipe
    guess = speed(MODEL, recipe, CARD)
    assert guess is not None
    assert "not measured" in guess.basis
    per_token = flops_per_token(MODEL, recipe)
    assert per_token is not None
    add(SpeedRecord(device="NVIDIA GeForce RTX 3090", run="r", precision="bf16", flops=1000 * per_token, watts=250.0))
    found = speed(MODEL, recipe, CARD)
    assert found is not None
    assert found.tokens_per_second == pytest.approx(1000)
    assert (found.watts, found.basis) == (250.0, "measured in 1 run here")
    assert speed(MODEL, recipe, planned(CARD)) == guess
    assert speed(MODEL, recipe, machine()) is None, "nothing is known of processors"
