"""``kto-tui models`` and ``kto-tui fit``: what they print, and what they say to bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kto_tui import units
from kto_tui.catalog import load_catalog, resolve
from kto_tui.cli import main
from kto_tui.commands import fit
from kto_tui.commands.fit import SETTINGS
from kto_tui.draft import Draft
from kto_tui.flags import FLAGS
from kto_tui.hardware.presets import hardware_presets, load_hardware
from kto_tui.hub.download import to_fetch
from kto_tui.memory.parts import PARTS
from kto_tui.recipe import field_named
from kto_tui.tui.candidates import consider
from kto_tui.tui.model_detail import detail

VERDICTS = {"FITS", "TIGHT", "NO"}
MACHINES = sorted(hardware_presets())
MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
# A value for every flag, and the field it becomes.
VALUES: dict[str, tuple[str, str, Any]] = {
    "rank": ("32", "lora_rank", 32),
    "targets": ("minimal", "lora_targets", "minimal"),
    "micro-batch": ("2", "micro_batch", 2),
    "effective-batch": ("64", "effective_batch", 64),
    "max-length": ("768", "max_length", 768),
    "quantization": ("nf4", "quantization", "nf4"),
    "precision": ("bf16", "precision", "bf16"),
    "optimizer": ("paged_adamw_8bit", "optimizer", "paged_adamw_8bit"),
    "checkpointing": ("on", "gradient_checkpointing", True),
    "loss": ("apo_zero_unpaired", "loss_type", "apo_zero_unpaired"),
}


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What a command printed that went well."""
    code = main(args)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def record(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, *args, "--json"))
    return found


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one sentence of a command that was refused."""
    code = main(args)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), args
    assert err.startswith("kto-tui: ")
    assert err.count("\n") == 1
    return err


def test_models_of_this_machine_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "models", "--json"))
    assert [one["id"] for one in found] == [model.id for model in load_catalog()]
    assert all(one["because"] and one["memory"]["note"] for one in found)


@pytest.mark.parametrize("name", MACHINES)
def test_models_as_another_machine(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "models", "--as", name, "--json"))
    assert {one["verdict"] for one in found} <= VERDICTS
    assert "FITS" in {one["verdict"] for one in found}
    for one in found:
        memory = one["memory"]
        assert one["machine"] == name
        assert one["predicted_bytes"] == memory["total_bytes"]
        assert set(memory["parts"]) == set(PARTS)
        assert sum(memory["parts"].values()) == pytest.approx(memory["total_bytes"], abs=len(PARTS))
        assert memory["allocated_bytes"] + memory["outside_bytes"] == pytest.approx(memory["total_bytes"], abs=2)
        assert memory["likely_reserved_bytes"] >= memory["allocated_bytes"]
        share = 0.85 / 1.25 if memory["quality"] == "rough" else 0.85
        assert (one["verdict"] == "FITS") == (memory["total_bytes"] <= share * one["free_bytes"])
        assert (one["would_fit"] is None) == (one["verdict"] == "FITS")
        assert set(one["settings"]) == set(SETTINGS) == set(one["settings_because"])


def test_models_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "models", "--as", "rtx-3070-8gb").splitlines()
    assert len(lines) > len(load_catalog())
    assert all(any(model.id in line for line in lines) for model in load_catalog())
    assert "free on" in lines[-1]


def test_the_machine_may_be_named_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    before = printed(capsys, "--as", "mac-m4-24gb", "fit", MODEL, "--json")
    assert before == printed(capsys, "fit", MODEL, "--as", "mac-m4-24gb", "--json")


def test_fit_as_json_is_the_models_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "models", "--as", "t4-16gb", "--json"))
    assert record(capsys, "fit", MODEL, "--as", "t4-16gb") in rows


def test_fit_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "fit", "meta-llama/Llama-3.3-70B-Instruct", "--as", "rtx-3070-8gb")
    for words in ("on rtx-3070-8gb, TRL on CUDA", "NO ", "would have to be free", "in all", "lora_rank", "Gated"):
        assert words in text
    text = printed(capsys, "fit", MODEL, "--as", "rtx-3070-8gb", "--rank", "8")
    assert "FITS" in text
    assert "set by you" in text


def test_every_flag_of_the_command_line_is_a_setting() -> None:
    assert set(FLAGS) == set(VALUES)


def test_help_says_what_each_setting_allows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for flag, field in FLAGS.items():
        known = field_named(field)
        assert f"--{flag} VALUE {known.label}: " in text
        assert all(part in text for part in (" or ".join(known.choices), known.bounds))


@pytest.mark.parametrize("flag", VALUES)
def test_each_flag_sets_its_field(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, field, value = VALUES[flag]
    found = record(capsys, "fit", MODEL, "--as", "rtx-3090-24gb", f"--{flag}", text)
    assert found["settings"][field] == value
    assert found["settings_because"][field] == "set by you"
    others = set(SETTINGS) - {field}
    assert "set by you" not in {found["settings_because"][name] for name in others}


def test_all_flags_together(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [part for flag, (text, _, _) in VALUES.items() for part in (f"--{flag}", text)]
    found = record(capsys, "fit", MODEL, "--as", "rtx-3090-24gb", *flags)
    assert found["settings"] == {field: value for _, field, value in VALUES.values()}
    assert found["verdict"] == "FITS"


def test_what_is_asked_for_moves_the_number(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ("fit", MODEL, "--as", "h100-80gb", "--micro-batch", "4", "--max-length", "512", "--checkpointing", "off")
    sizes = [record(capsys, *fixed, "--rank", rank)["predicted_bytes"] for rank in ("8", "64", "512")]
    assert sizes == sorted(set(sizes))
    bits = [record(capsys, *fixed, "--quantization", kind)["predicted_bytes"] for kind in ("nf4", "none")]
    assert bits[0] < bits[1]


def test_time_and_energy_are_those_of_the_wizard(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("fit", MODEL, "--as", "rtx-3090-24gb")
    pace, hardware = record(capsys, *args)["speed"], load_hardware("rtx-3090-24gb")
    candidate = consider(Draft(hardware=hardware), [resolve(MODEL)])[0]
    words = next(
        line for line in str(detail(candidate, Draft(hardware=hardware), tall=True)).splitlines() if "rows:" in line
    )
    told = next(line for line in printed(capsys, *args).splitlines() if line.startswith("Time"))
    assert told.split() == words.split()
    assert pace["rows"] == 1000
    assert units.about(pace["seconds"]) in told
    assert units.energy(pace["watt_hours"]) in told
    assert pace["basis"] in told


def test_time_that_nothing_tells_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("fit", MODEL, "--as", "cpu-laptop-16gb")
    pace = record(capsys, *args)["speed"]
    assert (pace["seconds"], pace["watt_hours"], pace["class"]) == (None, None, "unknown")
    assert "1,000 rows: unknown until" in printed(capsys, *args)


@pytest.mark.parametrize(("free", "short"), [(0, True), (3 * units.GIB, True), (100 * units.GIB, False), (None, False)])
def test_a_disk_that_is_too_small_is_said(
    free: int | None, short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    there = msgspec.structs.replace(load_hardware("rtx-3090-24gb"), models_disk_free_bytes=free)
    monkeypatch.setattr(fit, "machine", lambda _: there)
    words = f"but only {units.size(free)} is free in {tmp_path / 'hub'}"
    line = next(line for line in printed(capsys, "fit", MODEL).splitlines() if line.startswith("Download"))
    assert line.endswith(words) is short
    assert record(capsys, "fit", MODEL)["disk_free_bytes"] == free
    candidate = consider(Draft(hardware=there), [resolve(MODEL)])[0]
    for tall in (False, True):
        assert (words in str(detail(candidate, Draft(hardware=there), tall=tall))) is short
    last = printed(capsys, "models").splitlines()[-1]
    assert last.endswith(words.removeprefix("but ")) is (free == 0), "3 GiB are enough for some"


def test_what_is_here_of_a_model_needs_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert to_fetch("acme/large", 1000) == 1000
    blobs = tmp_path / "models--acme--large" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(bytes(300))
    assert to_fetch("acme/large", 1000) == 700
    assert to_fetch("acme/large", None) is None


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "model": (("fit", "Qwen2.5-7B-Instrukt"), "Qwen/Qwen2.5-7B-Instruct"),
    "nonsense model": (("fit", "no such model at all"), "no such model at all"),
    "folder": (("fit", "/nowhere/at/all"), "/nowhere/at/all"),
    "preset": (("models", "--as", "rtx-3070"), "rtx-3070-8gb"),
    "preset for fit": (("fit", MODEL, "--as", "gameboy"), "gameboy"),
    "method": (("models", "--method", "dpo"), "dpo"),
    "method for fit": (("fit", MODEL, "--method", "ppo"), "ppo"),
    "rank of nothing": (("fit", MODEL, "--rank", "0"), "at least 1"),
    "negative rank": (("fit", MODEL, "--rank", "-8"), "at least 1"),
    "absurd rank": (("fit", MODEL, "--rank", "1000000"), "at most 1"),
    "rank in words": (("fit", MODEL, "--rank", "many"), "many"),
    "half a rank": (("fit", MODEL, "--rank", "8.5"), "8.5"),
    "infinite rank": (("fit", MODEL, "--rank", "inf"), "inf"),
    "not a number": (("fit", MODEL, "--rank", "nan"), "nan"),
    "negative length": (("fit", MODEL, "--max-length", "-1"), "at least 16"),
    "absurd length": (("fit", MODEL, "--max-length", "99999999999999999999"), "131"),
    "no rows": (("fit", MODEL, "--micro-batch", "0"), "at least 1"),
    "window of one": (("fit", MODEL, "--effective-batch", "1"), "at least 2"),
    "more rows than the window": (("fit", MODEL, "--micro-batch", "32", "--effective-batch", "16"), "effective batch"),
    "unknown quantisation": (("fit", MODEL, "--quantization", "fp4"), "nf4"),
    "unknown precision": (("fit", MODEL, "--precision", "fp8"), "bf16"),
    "unknown optimizer": (("fit", MODEL, "--optimizer", "lion"), "adamw_torch"),
    "unknown targets": (("fit", MODEL, "--targets", "everything"), "full"),
    "unknown loss": (("fit", MODEL, "--loss", "dpo"), "kto"),
    "maybe checkpointing": (("fit", MODEL, "--checkpointing", "maybe"), "true or false"),
    "empty rank": (("fit", MODEL, "--rank="), "LoRA rank has no value. Give a whole number, at least 1, at most 1024"),
    "empty targets": (("fit", MODEL, "--targets", " "), "Give minimal or balanced or full"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, words = BAD[name]
    sentence = refused(capsys, *args)
    assert words in sentence
    assert "[recipe]" not in sentence
    assert "None" not in sentence
    if len(args) == 4 and args[2].removeprefix("--") in FLAGS:
        assert sentence.startswith(f"kto-tui: {args[2]}: ")


def test_a_model_the_catalog_does_not_know_has_no_number_before_it_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "fit", "nobody/nothing-1b", "--as", "rtx-3070-8gb")
    assert (found["verdict"], found["memory"], found["predicted_bytes"]) == ("UNKNOWN", None, None)
    assert "before it is downloaded" in found["because"]


CONFIGS = {
    "broken": ("{", "config.json"),
    "truncated": ('{"model_type": "llama", "hidden_size": 20', "config.json"),
    "a list": ("[]", "config.json"),
    "negative": ('{"model_type": "llama", "hidden_size": -4}', "hidden_size"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_with_a_damaged_configuration(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = CONFIGS[name]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(content)
    assert words in refused(capsys, "fit", str(tmp_path / "model"))


def test_an_architecture_that_was_not_traced_gets_a_rough_number_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = record(capsys, "fit", "openai/gpt-oss-20b", "--as", "h100-80gb")
    assert found["memory"]["quality"] == "rough"
    assert "not traced" in found["memory"]["note"]
    assert "rough" in printed(capsys, "fit", "openai/gpt-oss-20b", "--as", "h100-80gb")


@pytest.mark.parametrize("args", [("models", "--json"), ("fit", MODEL), ("fit", "nobody/nothing-1b")])
def test_as_a_process_no_training_library_is_loaded(args: tuple[str, ...]) -> None:
    code = (
        "import sys; from kto_tui.cli import main; code = main(sys.argv[1:]);"
        "print(sorted({'torch', 'transformers', 'trl', 'huggingface_hub'} & set(sys.modules)), file=sys.stderr);"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_the_example_in_the_readme_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    shown = text.split("$ kto-tui fit Qwen/Qwen2.5-7B-Instruct --as rtx-3090-24gb\n")[1].split("```")[0]
    assert printed(capsys, "fit", "Qwen/Qwen2.5-7B-Instruct", "--as", "rtx-3090-24gb") == shown
