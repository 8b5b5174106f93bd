"""What telemetry and events cost beside the training they report: processor time per second, and per step.

    python benchmarks/overhead.py --step-seconds 1.5

Reads the gauges of a process tree as the supervisor does, every 2 s, and writes a step's event as the trainer does.
The cost of the supervisor's polling is measured over an idle stretch. Shares are of one core; ``--step-seconds`` is the
time of an optimizer step to compare an event with.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import StepCompleted
from kto_tui.worker.attempts import GAUGE_SECONDS, POLL_SECONDS
from kto_tui.worker.telemetry import Telemetry


def gauges(times: int) -> float:
    """Processor seconds of one reading of all gauges of a child process."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    telemetry = Telemetry(child.pid)
    begin = time.process_time()
    for i in range(times):
        telemetry.read(float(i))
    seconds = (time.process_time() - begin) / times
    telemetry.close()
    child.communicate(b"\n")
    return seconds


def events(times: int) -> float:
    """Wall seconds of writing one step's event; the trainer waits for it."""
    with tempfile.TemporaryDirectory() as folder:
        writer = EventWriter(Path(folder) / "events.jsonl")
        begin = time.perf_counter()
        for step in range(times):
            writer.write(StepCompleted(step=step, total_steps=times, epoch=0.5, loss=0.4, tokens=1000))
        seconds = (time.perf_counter() - begin) / times
        writer.close()
    return seconds


def polling(times: int) -> float:
    """Processor seconds of one wake-up of an idle loop."""
    begin = time.process_time()
    for _ in range(times):
        time.sleep(POLL_SECONDS)
    return (time.process_time() - begin) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-seconds", type=float, default=1.5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {
        "gauges_ms": gauges(300) * 1e3,
        "event_ms": events(1000) * 1e3,
        "poll_ms": polling(50) * 1e3,
    }
    found["share_percent"] = 0.1 * (
        found["gauges_ms"] / GAUGE_SECONDS + found["poll_ms"] / POLL_SECONDS + found["event_ms"] / options.step_seconds
    )
    if options.json:
        print(json.dumps(found))
        return
    print("| what | ms | of one core |", "|---|---|---|", sep="\n")
    for name, every in (("gauges", GAUGE_SECONDS), ("poll", POLL_SECONDS), ("event", options.step_seconds)):
        cost = found[f"{name}_ms"]
        print(f"| {name}, every {every:g} s | {cost:.3f} | {0.1 * cost / every:.3f} % |")
    print(f"| all | | {found['share_percent']:.3f} % |")


if __name__ == "__main__":
    main()
