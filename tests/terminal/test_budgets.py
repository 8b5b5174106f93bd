"""What watching a run costs: bytes exactly, time and memory generously. benchmarks/terminal.py has the true figures."""

import statistics
import time
from pathlib import Path

import psutil

from tests.terminal.runs import LiveRun
from tests.terminal.screen import PATIENCE_SECONDS, Terminal, attached

UPDATES = 8
POLLS_A_SECOND = 2  # the live screen looks for news so often, and draws at most then
MIB = 1024**2


def cpu_seconds(term: Terminal) -> float:
    times = psutil.Process(term.process.pid).cpu_times()
    return float(times.user + times.system)


def test_updates_are_small_and_watching_is_idle(home: Path) -> None:
    """Two runs, three terminals, one of them large; one run is at its first step, when the axes still move."""
    first, middle = LiveRun(home, name="first"), LiveRun(home, past=100, name="middle")
    with (
        attached(first.run.path) as beginning,
        attached(middle.run.path) as usual,
        attached(middle.run.path, size=(140, 45)) as large,
    ):
        terms = (beginning, usual, large)
        for term in terms:
            term.wait_for("Detach").settle()
        sizes: dict[Terminal, list[int]] = {term: [] for term in terms}
        for turn in range(UPDATES):
            before = {term: term.size for term in terms}
            for live in (first, middle):
                if turn % 4 == 0:
                    live.gauge()
                live.step()
            for term in terms:
                term.wait_frame(before[term])
                sizes[term].append(term.size - before[term])
        for term in (beginning, usual):
            assert max(sizes[term]) <= 3000, sizes[term]
            assert statistics.mean(sizes[term]) <= 1000, sizes[term]
        assert statistics.mean(sizes[large]) * POLLS_A_SECOND <= 10_000, sizes[large]

        used, begin = {term: cpu_seconds(term) for term in terms}, time.monotonic()
        before = {term: term.size for term in terms}
        time.sleep(2.0)
        assert {term.size - before[term] for term in terms} == {0}, "nothing new: not a byte"
        middle.gauge()
        time.sleep(2.0)
        for term in terms:
            assert (cpu_seconds(term) - used[term]) / (time.monotonic() - begin) < 0.03
        assert beginning.size == before[beginning]
        assert 0 < usual.size - before[usual] <= 1000


def test_a_day_of_events_is_shown_soon_and_fits(home: Path) -> None:
    """43,200 gauges and 86,400 steps; half a second is the budget of the benchmark for 100,000 events."""
    live = LiveRun(home, total_steps=100_000, past=86_400)
    small = LiveRun(home, past=2, name="small")
    with attached(small.run.path) as term:
        base = seconds_until(term, "2/500")
    with attached(live.run.path) as term:
        seconds = seconds_until(term, "86400/100000")
        memory = psutil.Process(term.process.pid).memory_info().rss
        assert memory < 120 * MIB
        before = term.settle().size
        live.step()
        assert term.wait_frame(before).size - before <= 3000
    assert seconds - base <= 4 * 0.5 * 1.3


def seconds_until(term: Terminal, text: str) -> float:
    """Processor time until ``text`` is shown, whoever else keeps the machine busy."""
    term.wait_for("Detach")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before = term.size
        term.press("\x0c")  # draws everything anew, each line in one piece
        if text in term.wait_arrived(before).settle().seen(before):
            return cpu_seconds(term)
    raise AssertionError(f"{text!r} not in {term.seen()[-2000:]!r}")
