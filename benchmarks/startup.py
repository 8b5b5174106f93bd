"""How fast the command answers and the wizard first paints, on a real pseudo-terminal.

Run: python benchmarks/startup.py [--json] [--runs 9]
The baseline of the ratios is a bare ``python -c pass`` in the same run.
"""

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time


def command_seconds(*args: str) -> float:
    """Wall time of one command, from start to exit."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *args], capture_output=True, check=True)
    return time.perf_counter() - begin


def first_paint_seconds() -> float:
    """From exec until the first screen's key line has arrived at the terminal."""
    begin = time.perf_counter()
    pid, master = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        os.execv(sys.executable, [sys.executable, "-m", "kto_tui"])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while b"Try the starter" not in seen:
            if not select.select([master], [], [], 10)[0]:
                raise TimeoutError("no first paint within 10 s")
            seen += os.read(master, 65536)
        return time.perf_counter() - begin
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


def main() -> None:
    """Measure, alternating, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    times: dict[str, list[float]] = {"python -c pass": [], "--version": [], "--help": [], "first paint": []}
    with tempfile.TemporaryDirectory() as home:
        os.environ["KTO_TUI_HOME"] = home
        for _ in range(args.runs):
            times["python -c pass"].append(command_seconds("-c", "pass"))
            times["--version"].append(command_seconds("-m", "kto_tui", "--version"))
            times["--help"].append(command_seconds("-m", "kto_tui", "--help"))
            times["first paint"].append(first_paint_seconds())
    base = statistics.median(times["python -c pass"])
    rows = [
        {
            "what": name,
            "median_ms": round(1000 * statistics.median(values), 1),
            "min_ms": round(1000 * min(values), 1),
            "max_ms": round(1000 * max(values), 1),
            "ratio_to_bare_python": round(statistics.median(values) / base, 2),
        }
        for name, values in times.items()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'what':16}{'median ms':>10}{'min':>8}{'max':>8}{'ratio':>8}")
    for row in rows:
        print("{what:16}{median_ms:>10}{min_ms:>8}{max_ms:>8}{ratio_to_bare_python:>8}".format(**row))


if __name__ == "__main__":
    main()
