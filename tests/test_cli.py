"""The command line as a person meets it: real processes, exit codes, sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.catalog.folders import write_model, write_packed
from tests.tiny import make_rows, write_jsonl


def kto(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kto_tui", *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        env={**os.environ, **env},
    )


def fake_model(folder: Path) -> Path:
    """Looks like a checkpoint; nothing here loads it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return folder


def run_file(tmp_path: Path, data: str, recipe: str = "", model: str | None = None) -> Path:
    model = model or str(fake_model(tmp_path / "model"))
    file = tmp_path / "run.toml"
    file.write_text(f'model = "{model}"\ndata = "{data}"\n[recipe]\n{recipe}\n')
    return file


def refused(done: subprocess.CompletedProcess[str], home: Path) -> str:
    """Exit code 2, one sentence, no traceback, nothing left behind."""
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list((home / "runs").glob("*")) if (home / "runs").exists() else True
    return done.stderr


GOOD = '{"prompt": "a", "completion": "b", "label": true}\n'
BAD_DATA = {
    "no label": (GOOD + '{"prompt": "a", "completion": "b"}\n', ":2", "label"),
    "string label": (
        GOOD + '{"prompt": "a", "completion": "b", "label": "up"}\n',
        "rows.jsonl",
        "Nobody has confirmed",
    ),
    "number label": ('{"prompt": "a", "completion": "b", "label": 1}\n', "rows.jsonl", 'good = ["1"]'),
    "unknown label": (GOOD * 2 + '{"prompt": "a", "completion": "b", "label": "x"}\n', ":3", "neither good nor bad"),
    "empty": ("", "rows.jsonl", "The file is empty"),
    "one label": (GOOD * 30, "rows.jsonl", "false"),
    "not json": (GOOD + "prompt,completion\n", ":2", "not JSON"),
    "empty completion": ('{"prompt": "a", "completion": " ", "label": true}\n', ":1", "completion is empty"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_refused_by_file_and_line(name: str, tmp_path: Path, home: Path) -> None:
    content, place, words = BAD_DATA[name]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(content)
    sentence = refused(kto("train", str(run_file(tmp_path, str(rows)))), home)
    assert "rows.jsonl" in sentence
    assert place in sentence
    assert words in sentence


def test_missing_data_file(tmp_path: Path, home: Path) -> None:
    sentence = refused(kto("train", str(run_file(tmp_path, str(tmp_path / "none.jsonl")))), home)
    assert "none.jsonl" in sentence


def test_missing_run_file(tmp_path: Path, home: Path) -> None:
    assert "nothing.toml" in refused(kto("train", str(tmp_path / "nothing.toml")), home)


def test_unknown_recipe_key_names_the_nearest(tmp_path: Path, home: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    sentence = refused(kto("train", str(run_file(tmp_path, str(rows), "learning_rat = 1e-4"))), home)
    assert "learning_rate" in sentence
    assert "run.toml" in sentence


def test_value_out_of_bounds_names_field_and_bounds(tmp_path: Path, home: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    sentence = refused(kto("train", str(run_file(tmp_path, str(rows), "beta = -1.0"))), home)
    assert "beta" in sentence
    assert "above 0" in sentence


def test_model_folder_without_config(tmp_path: Path, home: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    empty = tmp_path / "empty"
    empty.mkdir()
    sentence = refused(kto("train", str(run_file(tmp_path, str(rows), model=str(empty)))), home)
    assert "config.json" in sentence
    assert str(empty) in sentence


def test_home_that_cannot_be_written(tmp_path: Path, home: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    done = kto("train", str(run_file(tmp_path, str(rows))), KTO_TUI_HOME=str(blocked))
    assert "blocked" in refused(done, home)


@pytest.mark.parametrize("args", [(), ("attach",)])
def test_no_terminal_is_said_in_a_sentence(args: tuple[str, ...], home: Path) -> None:
    assert "terminal" in refused(kto(*args), home)


def test_unknown_run(home: Path) -> None:
    for command in ("attach", "logs", "stop"):
        done = kto(command, "nobody")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["hardware", "models", "runs", "doctor"])
def test_json_is_json(command: str) -> None:
    done = kto(command, "--json")
    assert done.returncode == 0, done.stderr
    msgspec.json.decode(done.stdout)
    assert kto(command).returncode == 0


def test_models_json_has_at_least_twelve_with_verdicts() -> None:
    models = msgspec.json.decode(kto("models", "--json").stdout)
    assert len(models) >= 12
    assert {one["verdict"] for one in models} <= {"FITS", "TIGHT", "NO", "UNKNOWN"}
    assert all(one["because"] for one in models)


def test_doctor_names_the_command_that_mends(tmp_path: Path) -> None:
    findings = msgspec.json.decode(kto("doctor", "--json").stdout)
    assert {"torch", "trl"} <= {one["what"] for one in findings}
    assert all("install" in one["mend"] for one in findings if one["state"] == "missing")


def test_a_fifo_is_refused_instead_of_waited_for(tmp_path: Path, home: Path) -> None:
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    assert "a pipe, not a file" in refused(kto("train", str(run_file(tmp_path, str(fifo)))), home)
    assert "not a file" in refused(kto("train", str(fifo)), home)


def test_a_run_file_may_begin_with_a_byte_order_mark(tmp_path: Path, home: Path) -> None:
    file = run_file(tmp_path, str(tmp_path / "none.jsonl"))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert "none.jsonl" in refused(kto("train", str(file)), home)


def test_output_that_cannot_show_a_character_is_no_crash() -> None:
    done = kto("hardware", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_seven_bit_characters_for_people_and_json_for_programs() -> None:
    asked = {"KTO_TUI_ASCII": "1", "PYTHONIOENCODING": "utf-8"}
    words, record = (kto("fit", "openai/gpt-oss-20b", *more, **asked).stdout for more in ((), ("--json",)))
    assert words.isascii()
    assert "about ~25 %" in words
    assert "±25 %" in msgspec.json.decode(record)["memory"]["note"]
    assert kto("hardware", PYTHONIOENCODING="ascii").stdout.count(" | ") > 1


def test_help_names_every_command_and_fuses_formats() -> None:
    told = kto("--help").stdout
    assert all(f"    {command} " in told for command in ("train", "attach", "export", "report", "fuse", "doctor"))
    fuse = kto("fuse", "--help").stdout
    assert "{hf,gguf}" in fuse
    assert "FOLDER" in fuse
    assert "invalid choice" in kto("fuse", "last", "folder", "--format", "onnx").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", [("runs",), ("hardware", "--list"), ("models", "--json", "--as", "t4-16gb")])
def test_output_that_cannot_be_written_is_one_sentence(args: tuple[str, ...], unbuffered: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kto_tui", *args],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "kto-tui: Standard output cannot be written (No space left on device).\n"
    assert not list(tmp_path.glob("*.log"))


def test_a_mac_is_planned_with_mlx_whatever_is_installed_here() -> None:
    there = ("--as", "mac-m4-24gb")
    assert kto("fit", "Qwen/Qwen3-4B", *there).stdout.startswith("Qwen/Qwen3-4B on mac-m4-24gb, MLX on Metal (Apple")
    assert (
        "trains Apple · MLX on Metal\n" in kto("hardware", *there, KTO_TUI_ASCII="0", PYTHONIOENCODING="utf-8").stdout
    )
    models = msgspec.json.decode(kto("models", *there, "--json").stdout)
    assert {one["backend"] for one in models} == {"MLX on Metal"}
    assert not [one["id"] for one in models if "mlx-lm" in one["because"]], "it has every architecture of the catalog"


def test_a_folder_that_mlx_quantised_fits_with_mlx_and_is_refused_with_trl(tmp_path: Path) -> None:
    folder = str(write_packed(tmp_path / "tiny-4bit"))
    found = msgspec.json.decode(kto("fit", folder, "--as", "mac-m4-24gb", "--json").stdout)
    assert (found["backend"], found["verdict"]) == ("MLX on Metal", "FITS")
    assert found["memory"]["parts"]["weights"] == found["packed"]["packed_bytes"] + 2 * found["packed"]["floats"]
    found = msgspec.json.decode(kto("fit", folder, "--as", "t4-16gb", "--json").stdout)
    assert found["verdict"] == "NO"
    assert "Transformers cannot read" in found["because"]


REFUSED_BY_MLX = {
    "bitsandbytes": ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes, which MLX cannot read"),
    "architecture": ({"model_type": "bloom"}, "mlx-lm has no architecture bloom"),
}


@pytest.mark.parametrize(("config", "what"), REFUSED_BY_MLX.values(), ids=REFUSED_BY_MLX)
def test_what_mlx_would_refuse_starts_no_run(config: dict[str, object], what: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("mlx_lm")
    file = run_file(tmp_path, "starter", model=str(write_model(tmp_path / "m", dtype="U8", **config)))
    file.write_text('backend = "mlx"\n' + file.read_text())
    assert what in refused(kto("train", str(file)), home)


def test_a_checkpoint_made_for_mlx_is_not_trained_with_trl(tmp_path: Path, home: Path) -> None:
    folder = write_model(tmp_path / "m", dtype="U32", quantization={"group_size": 64, "bits": 4})
    file = run_file(tmp_path, "starter", model=str(folder))
    file.write_text('backend = "hf"\n' + file.read_text())
    assert "quantised by MLX" in refused(kto("train", str(file)), home)
