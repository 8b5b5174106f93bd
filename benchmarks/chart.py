"""What a chart costs: CPU to draw one, and CPU and bytes of an update of four of them on a real pseudo-terminal.

    python benchmarks/chart.py

Four panes of 4,000 points, noisy as a loss is, with room for 500 more. CPU to draw is the median of 15 in one process.
Of an update it is the difference between programs that make 5 and 45 of them, four a second, so that start and exit
cancel; it holds all that Textual does. "Titles alone" are charts without data whose titles change.
"""

import argparse
import fcntl
import json
import math
import os
import pty
import random
import resource
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.geometry import Size

from kto_tui.tui.widgets.chart import Chart, Curve

POINTS, TOTAL = 4000, 4500
SIZES = ((80, 24), (140, 45))
UPDATES = (5, 45)
Change = Callable[[Chart, int], None]


def noisy(seed: int) -> list[tuple[float, float | None]]:
    rng = random.Random(seed)  # noqa: S311 - no secret
    return [(x, math.exp(-x / 1500) + 0.05 * rng.gauss(0, 1)) for x in range(TOTAL)]


LOSS, OTHER = noisy(1), noisy(2)


def show(chart: Chart, points: int, *, curves: int = 1, x_min: float = 0.0, x_max: float = TOTAL) -> None:
    drawn = [Curve("chosen", LOSS[:points]), Curve("rejected", OTHER[:points], 1)][:curves]
    chart.show(drawn, x_max, f"{LOSS[points - 1][1]:.3f}", x_min=x_min)


def move_cursor(chart: Chart, i: int) -> None:
    chart.cursor = 50.0 * i


def smooth(chart: Chart, i: int) -> None:
    chart.smoothing = 0.9
    show(chart, POINTS + i)


UPDATED: dict[str, Change] = {
    "titles alone": lambda chart, i: chart.show([], TOTAL, f"{i:.3f}"),
    "a new point": lambda chart, i: show(chart, POINTS + i),
    "a new point, two curves": lambda chart, i: show(chart, POINTS + i, curves=2),
    "a new point, smoothed": smooth,
    "the window moves": lambda chart, i: show(chart, POINTS + i, x_min=POINTS - 500 + i, x_max=POINTS + i),
    "the cursor moves": move_cursor,
}


class Charts(App[None]):
    """Four charts that change ``updates`` times and then end."""

    CSS = "Screen { layout: grid; grid-size: 2 2; }"

    def __init__(self, change: Change, updates: int) -> None:
        super().__init__()
        self._change, self._left, self._done = change, updates, 0

    def compose(self) -> ComposeResult:
        """Four of them."""
        for title in ("loss", "margin", "KL", "accuracy"):
            yield Chart(title)

    def on_mount(self) -> None:
        """The colours of the real application, and the first points."""
        self.theme = "ansi-dark"
        for chart in self.query(Chart):
            show(chart, POINTS)
        self.set_interval(0.25, self._tick)

    def _tick(self) -> None:
        if self._done == self._left:
            self.exit()
            return
        self._done += 1
        for chart in self.query(Chart):
            self._change(chart, self._done)


def on_terminal(name: str, size: tuple[int, int], updates: int) -> tuple[int, float]:
    """Bytes that arrive and CPU seconds of the whole program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid, master = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        os.environ.pop("NO_COLOR", None)
        time.sleep(0.2)  # until the terminal has its size
        os.execv(sys.executable, [sys.executable, __file__, "--updates", str(updates), "--change", name])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    arrived = 0
    try:
        while part := os.read(master, 65536):
            arrived += len(part)
    except OSError:  # how Linux says that the other end has closed
        pass
    status = os.waitpid(pid, 0)[1]
    os.close(master)
    if status:
        raise SystemExit(f"{name} ended with status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return arrived, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def of_updates(name: str, size: tuple[int, int]) -> dict[str, float]:
    (few, few_cpu), (many, many_cpu) = (on_terminal(name, size, updates) for updates in UPDATES)
    between = UPDATES[1] - UPDATES[0]
    return {"bytes": round((many - few) / between), "cpu_ms": round(1000 * (many_cpu - few_cpu) / between, 1)}


class Alone(Chart):
    """A chart as large as a quarter of 140x45, without an app."""

    @property
    def size(self) -> Size:
        """Of its content."""
        return Size(68, 20)


def of_drawing() -> dict[str, float]:
    """CPU milliseconds to draw one chart."""
    figures = {}
    for name, curves, settings in (
        ("one curve", 1, {}),
        ("one curve, log scale", 1, {"log_scale": True}),
        ("one curve, smoothed", 1, {"smoothing": 0.9}),
        ("one curve, smoothed, log scale, cursor", 1, {"smoothing": 0.9, "log_scale": True, "cursor": 99.0}),
        ("two curves, smoothed", 2, {"smoothing": 0.9}),
    ):
        chart = Alone("loss")
        show(chart, POINTS, curves=curves)
        for key, value in settings.items():
            setattr(chart, key, value)
        taken = []
        for _ in range(15):
            begin = time.process_time()
            chart._draw(replot=True)
            taken.append(1000 * (time.process_time() - begin))
        figures[name] = round(statistics.median(taken), 1)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--updates", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--change", choices=UPDATED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.change:
        Charts(UPDATED[options.change], options.updates).run()
        return
    drawing = of_drawing()
    updates = {f"{w}x{h}": {name: of_updates(name, (w, h)) for name in UPDATED} for w, h in SIZES}
    if options.json:
        print(json.dumps({"drawing_ms": drawing, "updates": updates}, indent=1))
        return
    print("| one chart of 4,000 points a curve at 68x20 | CPU ms |\n|---|---|")
    for name, taken in drawing.items():
        print(f"| {name} | {taken} |")
    print("\n| four charts, each update | terminal | bytes | CPU ms |\n|---|---|---|---|")
    for size, rows in updates.items():
        for name, figures in rows.items():
            print(f"| {name} | {size} | {figures['bytes']:,.0f} | {figures['cpu_ms']} |")


if __name__ == "__main__":
    main()
