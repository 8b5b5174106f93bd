"""What watching a run costs, on real pseudo-terminals: bytes, time to paint, processor time, memory.

Run: python benchmarks/terminal.py [--json] [--keys 50]
The run is the recorded one of screenshots/ stretched to any length and fed as the terminal looks on.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.terminal.runs import LiveRun
from tests.terminal.screen import Terminal, attached

SIZES = ((80, 24), (140, 45))
READY = "Detach"
# Which keys open what from the live screen; the first is the screen as it opens.
VIEWS = {
    "four panes": "",
    "one pane": "z",
    "other panes": "n",
    "samples": "g",
    "results": "v",
    "verdicts": "w",
    "events": "e",
    "log": "l",
    "runs": "r",
    "help": "?",
}
UPDATES = 12
POLL_SECONDS = 0.5
HOG = "import os\nos.nice(5)\nwhile True: pass"


def opened(live: LiveRun, size: tuple[int, int] = SIZES[0]) -> Terminal:
    term = attached(live.run.path, size=size)
    term.wait_for(READY).settle(0.8)
    return term


def measure_bytes(home: Path) -> dict[str, Any]:
    """Of the first paint, of opening each view by its key, and of the updates that follow there."""
    rows = {}
    for size in SIZES:
        for view, key in VIEWS.items():
            live = LiveRun(home, past=200, name=f"bytes-{size[0]}-{view}")
            with opened(live, size) as term:
                before = 0
                if key:
                    before = term.size
                    term.press(key)
                    term.wait_arrived(before).settle(0.8)
                shown = term.size - before
                updates = []
                for turn in range(UPDATES):
                    before = term.size
                    if turn % 4 == 0:
                        live.gauge()
                    live.step()
                    time.sleep(POLL_SECONDS * 1.5)
                    updates.append(term.settle(0.1).size - before)
            rows[f"{view}, {size[0]}x{size[1]}"] = {
                "shown": shown,
                "update": round(statistics.mean(updates)),
                "worst": max(updates),
                "per_second": round(statistics.mean(updates) / POLL_SECONDS),
            }
    return rows


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """``count`` processes of nice 5, the worker's own, that do nothing but compute."""
    running = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def key_milliseconds(live: LiveRun, keys: int) -> list[float]:
    """From the key to the first byte of what it changes."""
    times = []
    with opened(live) as term:
        for _ in range(keys):
            term.settle(0.05)
            before, begin = term.size, time.monotonic()
            term.press("\t")
            term.wait_arrived(before)
            times.append(1000 * (term.arrived(before) - begin))
    return times


def measure_keys(home: Path, keys: int) -> dict[str, Any]:
    live = LiveRun(home, past=200, name="keys")
    rows = {}
    for name, count in (("as the machine is", 0), ("every core busy", os.cpu_count() or 1)):
        with hogs(count):
            times = sorted(key_milliseconds(live, keys))
        rows[name] = {
            "median_ms": round(statistics.median(times), 1),
            "p95_ms": round(times[int(0.95 * len(times))], 1),
        }
    return rows


def attach_seconds(live: LiveRun) -> dict[str, float]:
    """From exec until the key line is painted, and until all there was is shown; processor time up to then."""
    begin = time.monotonic()
    with attached(live.run.path) as term:
        term.wait_for(READY)
        painted = time.monotonic() - begin
        shown = term.settle(1.0).quiet_since() - begin
        times = psutil.Process(term.process.pid).cpu_times()
        return {"first_paint_s": painted, "all_shown_s": shown, "processor_s": times.user + times.system}


def measure_attach(home: Path, times: int) -> dict[str, Any]:
    rows = {}
    # Of 100,000 events a third are gauges.
    for name, seconds in (("1 event", 0), ("100,000 events", 66_660)):
        live = LiveRun(home, total_steps=100_000, past=seconds, name=f"attach-{seconds}")
        found = [attach_seconds(live) for _ in range(times)]
        rows[name] = {what: round(statistics.median(one[what] for one in found), 2) for what in found[0]}
    return rows


def cpu_percent(term: Terminal, seconds: float) -> float:
    process = psutil.Process(term.process.pid)
    before, begin = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    return round(100 * (after.user + after.system - before.user - before.system) / (time.monotonic() - begin), 2)


def measure_idle(home: Path, seconds: float) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, past in (("after 200 s", 200), ("after a day", 86_400)):
        live = LiveRun(home, total_steps=100_000, past=past, name=f"idle-{past}")
        with opened(live) as term:
            nothing = cpu_percent(term, seconds)
            with feeding(live, steps=False):
                gauges = cpu_percent(term, seconds)
            with feeding(live, steps=True):
                steps = cpu_percent(term, seconds)
            memory = psutil.Process(term.process.pid).memory_info().rss
        rows[name] = {"nothing": nothing, "gauges": gauges, "steps": steps, "memory_mib": round(memory / 2**20, 1)}
    return rows


@contextlib.contextmanager
def feeding(live: LiveRun, *, steps: bool) -> Iterator[None]:
    """A gauge every two seconds, and a step every second where wanted, written by a thread."""
    import threading

    over = threading.Event()

    def feed() -> None:
        turn = 0
        while not over.wait(1.0):
            turn += 1
            if turn % 2:
                live.gauge()
            if steps:
                live.step()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _print(title: str, rows: dict[str, dict[str, Any]]) -> None:
    names = list(next(iter(rows.values())))
    print(f"\n{title:28}" + "".join(f"{name:>14}" for name in names))
    for what, row in rows.items():
        print(f"{what:28}" + "".join(f"{row[name]:>14}" for name in names))


def main() -> None:
    """Measure one after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KTO_TUI_HOME"] = folder
        home = Path(folder)
        found = {
            "attach, seconds": measure_attach(home, 5),
            "from key to paint": measure_keys(home, args.keys),
            "% of a core": measure_idle(home, args.seconds),
            "bytes": measure_bytes(home),
        }
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for title, rows in found.items():
        _print(title, rows)


if __name__ == "__main__":
    main()
