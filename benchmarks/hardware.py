"""How long it takes to find out what a machine is, part by part.

Run: python benchmarks/hardware.py [--json] [--runs 9]
Each part alone in a warm process, then everything at once, warm and as the first thing a new process does after its
imports. The baseline of the ratios is a bare ``python -c pass`` in the same run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from kto_tui.hardware import detect, surroundings
from kto_tui.hardware.amd import detect_amd
from kto_tui.hardware.apple import gpu_cores
from kto_tui.hardware.cgroup import cpu_quota, memory_limit
from kto_tui.hardware.cpu import detect_cpu
from kto_tui.hardware.detect import disk_free
from kto_tui.hardware.memory import detect_memory
from kto_tui.hardware.nvidia import detect_nvidia
from kto_tui.hardware.presets import load_hardware
from kto_tui.hardware.sources import Sources
from kto_tui.paths import data_home

FIRST = """import time
from kto_tui.hardware import detect
begin = time.perf_counter(); detect(); print(time.perf_counter() - begin)
"""
# A new Sources each time: it remembers what sysctl said.
PARTS: dict[str, Callable[[], object]] = {
    "processor": lambda: detect_cpu(Sources()),
    "memory": lambda: detect_memory(Sources()),
    "control groups": lambda: (cpu_quota(Sources()), memory_limit(Sources())),
    "NVIDIA (NVML)": lambda: detect_nvidia(Sources()),
    "AMD (sysfs)": lambda: detect_amd(Sources()),
    "Apple (ioreg)": lambda: gpu_cores(Sources()) if sys.platform == "darwin" else None,
    "surroundings": lambda: (surroundings.container(Sources()), surroundings.wsl(Sources())),
    "disk": lambda: disk_free(data_home()),
    "a preset": lambda: load_hardware("rtx-3070-8gb"),
    "all of them": detect,
}


def seconds(part: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    part()
    return time.perf_counter() - begin


def first_seconds() -> float:
    """Wall time of detection in a new process, without its imports."""
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure, alternating, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    bare = "python -c pass"
    times: dict[str, list[float]] = {name: [] for name in (bare, *PARTS, "all, new process")}
    detect()  # libraries are loaded once
    for _ in range(args.runs):
        times[bare].append(seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
        for name, part in PARTS.items():
            times[name].append(seconds(part))
        times["all, new process"].append(first_seconds())
    base = statistics.median(times[bare])
    rows = [
        {
            "what": name,
            "median_ms": round(1000 * statistics.median(values), 2),
            "min_ms": round(1000 * min(values), 2),
            "max_ms": round(1000 * max(values), 2),
            "ratio_to_bare_python": round(statistics.median(values) / base, 2),
        }
        for name, values in times.items()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'what':18}{'median ms':>10}{'min':>8}{'max':>8}{'ratio':>8}")
    for row in rows:
        print("{what:18}{median_ms:>10}{min_ms:>8}{max_ms:>8}{ratio_to_bare_python:>8}".format(**row))


if __name__ == "__main__":
    main()
