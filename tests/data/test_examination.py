"""The examination beside the terminal: how it tells what it does, ends, is ended, and what memory it takes."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kto_tui.choices import DataChoices
from kto_tui.data.doctor import Examination
from kto_tui.data.report import Examined, Progressed, Refused

MEGABYTES = 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MB of rows of 1 KB, most of which is a column that nothing needs; the label of the last one is missing."""
    file = tmp_path_factory.mktemp("large") / "large.jsonl"
    page = "the quick brown fox jumps over the lazy dog and runs away from all of them " * 12
    with file.open("w") as out:
        for number in range(MEGABYTES * 1000):
            row = {"prompt": f"Say {number}", "completion": f"It is {number}.", "label": number % 2 == 0, "page": page}
            out.write(json.dumps(row) + "\n")
        out.write(json.dumps({"prompt": "And", "completion": "none", "label": None, "page": page}) + "\n")
    return file


def temporary(home: Path) -> list[str]:
    return [path.name for path in home.rglob(".*")]


def peak_bytes(process: int) -> int:
    """The most memory that it has had; 0 where the system does not say."""
    status = Path(f"/proc/{process}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


def test_updates_grow_and_end_with_the_report(large: Path, home: Path) -> None:
    examination, progress, peak = Examination(large, DataChoices()), [], 0
    for update in examination:
        progress.append(update)
        peak = max(peak, peak_bytes(examination._program._process.pid))
    last = progress.pop()
    # Far above what is measured, far below what the rows take as objects and their file besides.
    assert peak < 300e6
    assert isinstance(last, Examined)
    assert (last.report.rows, last.report.kept) == (MEGABYTES * 1000 + 1, MEGABYTES * 1000)
    assert last.report.looked_at < last.report.rows
    reading = [one for one in progress if isinstance(one, Progressed) and one.phase == "reading"]
    assert [one.rows for one in reading] == sorted(one.rows for one in reading)
    assert reading[-1].share == 1.0
    assert {one.phase for one in progress if isinstance(one, Progressed)} >= {"reading", "checking"}
    assert temporary(home) == []

    *again, last = Examination(large, DataChoices())
    assert isinstance(last, Examined)
    assert "reading" not in {one.phase for one in again if isinstance(one, Progressed)}


def test_what_cannot_be_read_is_refused_at_the_end(tmp_path: Path) -> None:
    (only,) = Examination(tmp_path / "none.jsonl", DataChoices())
    assert isinstance(only, Refused)
    assert "none.jsonl" in str(only.where)


def test_a_cancelled_one_says_so_and_leaves_nothing(large: Path, home: Path) -> None:
    examination = Examination(large, DataChoices())
    updates = iter(examination)
    assert isinstance(next(updates), Progressed)
    begin = time.monotonic()
    examination.cancel()
    *_, last = updates
    assert time.monotonic() - begin < 5
    assert isinstance(last, Refused)
    assert "cancelled" in last.what
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_control_c_at_the_command_line_leaves_nothing(large: Path, home: Path) -> None:
    # Shells start background jobs, and so perhaps this test, with the signal ignored.
    heed = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", heed, sys.executable, "-m", "kto_tui", "data", "check", str(large)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not temporary(home) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
    assert not [path for path in home.rglob("*") if path.is_file()]
