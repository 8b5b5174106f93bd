"""runs, rename, tag, note, compare, export and report as a person types them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kto_tui.cli import main
from kto_tui.runs.events import Ended, Evaluated, WorkerStarted
from tests.runs.made import made_run, step


@pytest.fixture(autouse=True)
def two_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bold-fox has learnt, calm-owl has died."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("KTO_TUI_ASCII", "0")
    began = WorkerStarted(host="h", pid=1, t=1000.0)
    steps = [step(number, 0.5 - number / 100, margin=number / 10) for number in range(1, 9)]
    made_run("bold-fox", [began, *steps, Evaluated(step=8, rows=16, accuracy=0.75), Ended(reason="finished")])
    made_run("calm-owl", [began, step(1)], age=60)


def told(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert main(args) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "rename", "bold", "Polite answers")
    told(capsys, "tag", "bold", "lr", "low")
    lines = told(capsys, "runs").splitlines()
    assert "▁▂▃▄▅▆▇█" in lines[1]
    for words in ("bold-fox", "finished", "8/10", "75%", "KiB", "Polite answers #lr #low"):
        assert words in lines[1], words
    assert "died" in lines[2]
    assert "kto-tui resume" in lines[-1] or "calm-owl" in lines[-1]


def test_the_list_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    fox, owl = json.loads(told(capsys, "runs", "--json"))
    assert (fox["heldout_best"], fox["shape_of"], len(fox["shape"])) == (0.75, "margin", 8)
    assert fox["size_bytes"] > 0
    assert owl["heldout_best"] is None


def test_no_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KTO_TUI_HOME", str(tmp_path / "empty"))
    assert told(capsys, "runs").startswith("No runs yet")


def test_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "rename", "bold", "A") == "bold-fox is called A\n"
    assert told(capsys, "rename", "A", "") == "bold-fox has no title\n"
    assert told(capsys, "tag", "bold") == "bold-fox has no tags\n"
    assert told(capsys, "tag", "bold", "x", "y") == "x y\n"
    assert told(capsys, "tag", "bold", "z", "x") == "x y z\n"
    assert told(capsys, "tag", "bold", "y", "--remove") == "x z\n"
    assert told(capsys, "tag", "bold", "--remove") == "bold-fox has no tags\n"
    assert told(capsys, "note", "bold") == "bold-fox has no note\n"
    assert told(capsys, "note", "bold", "try\nagain") == "try\nagain\n"
    assert told(capsys, "note", "bold") == "try\nagain\n"
    assert "A title" in told(capsys, "rename", "bold", "x" * 99, code=2)
    assert "already called" in told(capsys, "rename", "bold", "calm-owl", code=2)


def test_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "compare", "bold", "calm")
    assert out.splitlines()[0].split() == ["Outcome", "bold-fox", "calm-owl"]
    rows = {line[:14].strip(): line[14:].split() for line in out.splitlines()}
    assert rows["Held-out best"] == ["75%", "–"]
    assert rows["Steps"] == ["8", "of", "10", "1", "of", "10"]
    assert "Their choices are the same." in out
    whole = json.loads(told(capsys, "compare", "bold", "calm", "--json"))
    assert [one["id"] for one in whole["runs"]] == ["bold-fox", "calm-owl"]
    assert whole["differences"] == {}
    assert "1 runs cannot be compared" in told(capsys, "compare", "bold", code=2)


def test_files(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    told(capsys, "export", "bold", "--csv", "a.csv")
    told(capsys, "export", "bold", "--json", "a.json")
    told(capsys, "export", "bold", "--svg", "a.svg")
    told(capsys, "compare", "bold", "calm", "--svg", "b.svg")
    assert told(capsys, "report", "bold") == "report on bold-fox written to bold-fox.md, its curves to bold-fox.svg\n"
    told(capsys, "report", "bold", "--output", "c.md")
    with (home / "a.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(number) for number in range(1, 9)]
    assert len(json.loads((home / "a.json").read_text())["steps"]) == 8
    for name in ("a.svg", "b.svg", "bold-fox.svg", "c.svg"):
        assert (home / name).read_text().startswith("<svg")
    for command in (
        ["export", "bold", "--csv", "a.csv"],
        ["report", "bold"],
        ["compare", "bold", "calm", "--svg", "b.svg"],
    ):
        before = {path.name: path.stat().st_mtime_ns for path in home.iterdir() if path.is_file()}
        assert "exists already" in told(capsys, *command, code=2)
        assert before == {path.name: path.stat().st_mtime_ns for path in home.iterdir() if path.is_file()}
        told(capsys, *command, "--force")


@pytest.mark.parametrize("args", [["export", "bold"], ["export", "bold", "--csv", "a", "--json", "b"]])
def test_one_format_at_a_time(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "--csv" in capsys.readouterr().err


def test_a_real_process_without_textual_and_in_ascii() -> None:
    """The list is for pipes and slow hosts: it must not load the terminal interface to draw eight characters."""
    code = (
        "import sys\nfrom kto_tui.cli import main\ncode = main(['runs'])\n"
        "print(sorted({'textual', 'numpy', 'torch'} & set(sys.modules)))\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "KTO_TUI_ASCII": "1"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.isascii()
    assert "_.-~=+*#" in done.stdout
