"""The data doctor on a large file: how soon, how fast, and in how much memory; and other readers on the same rows.

    python benchmarks/data.py --megabytes 1000

The file is made first (seeded, rows of about 1 KB, a few of them broken) and lies in the page cache afterwards. Every
figure is of a fresh process. The examination is the program that the Data screen and its users wait for, with the
dear checks on their sample. Other readers get a file without broken lines, because they end at the first one.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from feedback_file import write
from json_readers import READERS

ROOT = Path(__file__).resolve().parent.parent
SEED = 1
# What the readers need besides; the file is theirs alone, so it may be smaller.
COMPARED_SHARE = 0.25
FIRST = {
    "sniff": "from kto_tui.data.containers.sniff import sniff; sniff(path, DataChoices())",
    "first 200 rows": "from kto_tui.data.shown import read_head; read_head(path, DataChoices())",
}


def environment(home: Path) -> dict[str, str]:
    """Of the measured processes: this checkout, a home of their own."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", "KTO_TUI_HOME": str(home)}


def first_seconds(what: str, file: Path, home: Path) -> float:
    """Wall time of the beginning in a process that has read nothing before, its imports included."""
    code = (
        "import time; begin = time.perf_counter(); from pathlib import Path; from kto_tui.choices import DataChoices; "
        f"path = Path({str(file)!r}); {FIRST[what]}; print(time.perf_counter() - begin)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home), capture_output=True, text=True, check=True
    )
    return float(done.stdout)


class Watched:
    """One run of the examination program, with the memory of it and the programs it starts sampled beside it."""

    def __init__(self, file: Path, home: Path) -> None:
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kto_tui.data.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(home),
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"path": str(file)}).encode())
        self.process.stdin.close()
        self.peak_bytes = self.all_peak_bytes = 0
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        """Resident memory: what is mapped of the store counts, and libraries count once in each program."""
        program = psutil.Process(self.process.pid)
        with contextlib.suppress(psutil.Error):
            while True:
                own, others = program.memory_info().rss, 0
                for child in program.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        others += child.memory_info().rss
                self.peak_bytes = max(self.peak_bytes, own)
                self.all_peak_bytes = max(self.all_peak_bytes, own + others)
                time.sleep(0.02)

    def wait(self) -> float:
        """Processor seconds of it and the programs it started."""
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return used.ru_utime + used.ru_stime

    def updates(self) -> Any:
        """What it says, with the seconds since its start."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield time.perf_counter() - self.begin, json.loads(line)


def examine(file: Path, home: Path) -> dict[str, Any]:
    """One whole examination."""
    watched = Watched(file, home)
    read, last, silence, report = 0.0, 0.0, 0.0, None
    for at, update in watched.updates():
        silence, last = max(silence, at - last), at
        if update["event"] == "progress" and update["phase"] == "reading":
            read = at
        report = update.get("report", report)
    used = watched.wait()
    if report is None:
        raise SystemExit(f"The examination ended with {watched.process.returncode}")
    megabytes = file.stat().st_size / 1e6
    return {
        "reading_seconds": read,
        "seconds": last,
        "reading_mb_per_second": megabytes / read if read else None,
        "mb_per_second": megabytes / last,
        "longest_silence_seconds": silence,
        "processor_seconds": used,
        "peak_bytes": watched.peak_bytes,
        "all_peak_bytes": watched.all_peak_bytes,
        "records": report["records"],
        "rows": report["rows"],
        "found": {one["id"]: one["count"] for one in report["findings"]},
    }


def cancel(file: Path, home: Path) -> dict[str, Any]:
    """From asking a running examination to end until it has, and what it leaves."""
    watched = Watched(file, home)
    next(at for at, update in watched.updates() if update["rows"] > 10_000)
    begin = time.perf_counter()
    watched.process.send_signal(signal.SIGTERM)
    watched.wait()
    return {"seconds": time.perf_counter() - begin, "left": [str(path) for path in home.rglob("*") if path.is_file()]}


def compare(file: Path, rounds: int) -> dict[str, Any]:
    """Every reader that is installed, alternating; what is slower than the first has a ratio above one."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in READERS}
    for _ in range(rounds):
        for name, each in runs.items():
            command = [sys.executable, str(ROOT / "benchmarks" / "json_readers.py"), name, str(file)]
            each.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    megabytes = file.stat().st_size / 1e6
    found: dict[str, Any] = {}
    base = [run["seconds"] for run in runs["msgspec"]]
    for name, each in runs.items():
        if error := each[0].get("error"):
            found[name] = {"error": error}
            continue
        counted = {key: each[0][key] for key in ("rows", "good", "repeated")}
        seconds = [run["seconds"] for run in each]
        found[name] = {
            **counted,
            "mb_per_second": megabytes / statistics.median(seconds),
            "ratio": statistics.median(a / b for a, b in zip(seconds, base, strict=True)),
            "peak_bytes": max(run["peak_bytes"] for run in each),
        }
    return found


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    first, second, stopped = report["examination"], report["second opening"], report["cancel"]
    lines = [f"{report['megabytes']:.0f} MB, {report['lines']['lines']:,} lines", "", "| what | figure |", "|---|---|"]
    lines += [f"| {what} | {seconds:.2f} s |" for what, seconds in report["first"].items()]
    lines += [
        f"| read, counted and stored | {first['reading_seconds']:.1f} s, {first['reading_mb_per_second']:.0f} MB/s |",
        f"| until the whole report | {first['seconds']:.1f} s, {first['mb_per_second']:.0f} MB/s |",
        f"| longest time without a word | {first['longest_silence_seconds']:.2f} s |",
        f"| processor time | {first['processor_seconds']:.1f} s |",
        f"| peak memory | {first['peak_bytes'] / 1e6:.0f} MB |",
        f"| with the programs that read for it | {first['all_peak_bytes'] / 1e6:.0f} MB |",
        f"| second opening, whole report | {second['seconds']:.1f} s |",
        f"| cancelled | after {stopped['seconds']:.2f} s, {len(stopped['left'])} files left |",
    ]
    lines += ["", "| reader | MB/s | time against msgspec | peak memory |", "|---|---|---|---|"]
    for name, one in report["readers"].items():
        if "error" in one:
            lines.append(f"| {name} | {one['error']} | | |")
        else:
            peak = f"{one['peak_bytes'] / 1e6:.0f} MB"
            lines.append(f"| {name} | {one['mb_per_second']:.0f} | {one['ratio']:.2f} | {peak} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, clean, home = (Path(folder) / name for name in ("feedback.jsonl", "clean.jsonl", "home"))
        lines = write(file, round(options.megabytes * 1e6), seed=SEED, broken=True)
        report = {
            "megabytes": file.stat().st_size / 1e6,
            "lines": lines,
            "first": {what: statistics.median(first_seconds(what, file, home) for _ in range(3)) for what in FIRST},
            "cancel": cancel(file, home),
            "examination": examine(file, home),
            "second opening": examine(file, home),
        }
        file.unlink()
        write(clean, round(COMPARED_SHARE * options.megabytes * 1e6), seed=SEED, broken=False)
        report["readers"] = compare(clean, options.rounds)
    print(json.dumps(report, indent=1) if options.json else table(report))


if __name__ == "__main__":
    main()
