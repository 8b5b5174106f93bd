"""Machines to plan for: what ships, what is refused, and the commands that use them."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kto_tui import paths
from kto_tui.commands.show import hardware
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware
from kto_tui.hardware.apple import estimated_working_set
from kto_tui.hardware.presets import hardware_presets, load_hardware, machine
from kto_tui.units import GIB
from tests.hardware.answers import CARDS

CARD_OF = {
    "rtx-3070-8gb": "3070", "rtx-3060-12gb": "3060", "rtx-3090-24gb": "3090", "rtx-4090-24gb": "4090",
    "rtx-5090-32gb": "5090", "t4-16gb": "T4", "a100-80gb": "A100", "h100-80gb": "H100", "2x-rtx-3090": "3090",
}  # fmt: skip


def test_what_ships() -> None:
    assert set(hardware_presets()) >= {*CARD_OF, "mac-m1-16gb", "mac-m4-24gb", "mac-m4-max-128gb", "cpu-laptop-16gb"}


@pytest.mark.parametrize("name", sorted(hardware_presets()))
def test_a_plan_names_itself_and_its_assumption_and_claims_no_disk(name: str) -> None:
    plan = load_hardware(name)
    assert plan.planned_as == name
    assert hardware_presets()[name].assumes in plan.notes[0]
    assert (plan.disk_free_bytes, plan.models_disk_free_bytes) == (None, None)
    assert plan.free_training_bytes is not None
    assert plan.free_training_bytes > 0
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Hardware) == plan
    assert plan.device == ("mps" if name.startswith("mac") else "cpu" if name.startswith("cpu") else "cuda")


@pytest.mark.parametrize(("name", "card"), CARD_OF.items())
def test_a_planned_card_is_the_one_its_driver_reports(name: str, card: str) -> None:
    spec, gpus = CARDS[card], load_hardware(name).gpus
    assert len(gpus) == (2 if name.startswith("2x") else 1)
    for gpu in gpus:
        assert gpu.name == (spec.name.decode() if isinstance(spec.name, bytes) else spec.name)
        assert (gpu.capability, gpu.power_limit_watts) == (spec.capability, spec.watts)
        assert gpu.total_bytes is not None
        assert gpu.free_bytes is not None
        assert spec.total <= gpu.total_bytes <= 1.07 * spec.total  # sold as 16 GB, 15 left by error correction
        assert gpu.free_bytes < spec.total


@pytest.mark.parametrize("name", [name for name in sorted(hardware_presets()) if name.startswith("mac")])
def test_a_planned_mac_has_no_more_than_metal_recommends(name: str) -> None:
    (gpu,) = load_hardware(name).gpus
    recommended = estimated_working_set(gpu.total_bytes, "26.0")
    assert gpu.free_bytes is not None
    assert recommended is not None
    assert 0.85 * recommended < gpu.free_bytes <= recommended
    assert gpu.working_set_estimate_bytes is None, "the plan says in words what it assumes"


def test_upper_and_lower_case_are_one() -> None:
    assert load_hardware("RTX-3070-8GB") == load_hardware("rtx-3070-8gb")


NEAREST = {
    "rtx-3070": "rtx-3070-8gb", "RTX-3090": "rtx-3090-24gb", "mac-m4": "mac-m4-24gb", "zzz": None, "": None,
    "../models": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "nearest"), NEAREST.items())
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str | None) -> None:
    with pytest.raises(UserError) as caught:
        load_hardware(name)
    assert nearest is None or nearest in caught.value.mend
    assert "kto-tui hardware --list" in caught.value.mend


GOOD = """title = "Box"
assumes = "nothing runs"
[[gpu]]
name = "Card"
kind = "cuda"
total_gib = 8.0
free_gib = 7.0
capability = [8, 6]
"""
BROKEN = {
    "negative memory": (GOOD.replace("8.0", "-8.0"), "gpu[0].total_gib"),
    "no memory": (GOOD.replace("8.0", "0.0"), "gpu[0].total_gib"),
    "memory as text": (GOOD.replace("8.0", '"8 GB"'), "gpu[0].total_gib"),
    "more free than there is": (GOOD.replace("7.0", "9.0"), "free_gib"),
    "no capability": (GOOD.replace("capability = [8, 6]", ""), "capability"),
    "unknown kind": (GOOD.replace('"cuda"', '"tpu"'), "gpu[0].kind"),
    "misspelt key": (GOOD + "power_watts = 3\n", "power_watts"),
    "no title": (GOOD.replace('title = "Box"', ""), "title"),
    "no assumption": (GOOD.replace('assumes = "nothing runs"', ""), "assumes"),
    "no cores": (GOOD + "[cpu]\nphysical_cores = 0\n", "cpu.physical_cores"),
    "not TOML": ('title = "Box"\ncards 8\n', "line 2"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "presets" / "hardware").mkdir(parents=True)
    monkeypatch.setattr(paths, "presets", lambda: tmp_path / "presets")
    return tmp_path / "presets" / "hardware"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_preset_names_file_and_key(name: str, folder: Path) -> None:
    text, key = BROKEN[name]
    (folder / "box.toml").write_text(GOOD)
    assert machine("box").gpus[0].free_bytes == 7 * GIB
    (folder / "box.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_hardware("box")
    assert caught.value.where == str(folder / "box.toml")
    assert key in caught.value.what


def kto(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kto_tui", *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_hardware_as_a_preset_in_json_and_in_words() -> None:
    for args in (("hardware", "--as", "t4-16gb"), ("--as", "t4-16gb", "hardware")):
        done = kto(*args, "--json")
        told = msgspec.json.decode(done.stdout)
        assert (told["planned_as"], told["device"], told["precision"]) == ("t4-16gb", "cuda", "fp16")
        assert told["free_training_bytes"] == told["gpus"][0]["free_bytes"]
    words = kto("hardware", "--as", "t4-16gb").stdout
    assert "Tesla T4 · compute 7.5" in words
    assert "Planned, not measured" in words
    assert "READY" not in words, "what is installed here says nothing about that machine"


@pytest.mark.parametrize("name", [None, "t4-16gb", "mac-m4-24gb"])
def test_what_trains_is_what_there_is(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert hardware(as_json=False, planned_as=name) == 0
    lines = capsys.readouterr().out.splitlines()
    trains = [line for line in lines if line.startswith("trains")]
    assert trains
    assert all("TRL" in line or "MLX" in line for line in trains)
    assert any("MLX" in line for line in trains) == (name == "mac-m4-24gb")
    [later] = [line for line in lines if "Unsloth" in line]
    assert "planned" in later


def test_the_list_names_every_preset() -> None:
    lines = kto("hardware", "--list").stdout.splitlines()
    assert {line.split()[0] for line in lines[1:]} == set(hardware_presets())
    assert set(msgspec.json.decode(kto("hardware", "--list", "--json").stdout)) == set(hardware_presets())


REFUSED = {
    ("hardware", "--as", "rtx-3070"): "rtx-3070-8gb",
    ("--as", "rtx-3070-8gb", "demo", "--headless"): "this machine only",
    ("--as", "rtx-3070-8gb", "train", "run.toml"): "this machine only",
    ("--as", "t4-16gb"): "terminal",
    ("hardware", "--list", "--as", "nope"): "--as",
    ("--as", "t4-16gb", "models", "--cached"): "same for every machine",
}


@pytest.mark.parametrize(("args", "word"), REFUSED.items())
def test_what_is_refused_is_one_sentence(args: tuple[str, ...], word: str) -> None:
    done = kto(*args)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
