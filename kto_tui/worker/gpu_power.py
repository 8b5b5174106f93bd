"""The power an Apple GPU draws, from the energy counter that ``kto_tui.worker.energy_meter`` reads."""

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

PACKAGE = "zeus_apple_silicon"
METER = (sys.executable, "-m", "kto_tui.worker.energy_meter")
LONGEST_LINE = 200
ENDING_SECONDS = 0.5


class Energy(NamedTuple):
    """A counter at a time: monotonic seconds of the meter, millijoules since some time in the past."""

    seconds: float
    millijoules: int


def energy(line: str) -> Energy | None:
    """A line of the meter, ``SECONDS MILLIJOULES``; None where it says anything else."""
    seconds, _, millijoules = line.strip().partition(" ")
    with contextlib.suppress(ValueError):
        found = Energy(float(seconds), int(millijoules))
        return found if math.isfinite(found.seconds) and found.millijoules >= 0 else None
    return None


def watts(before: Energy | None, now: Energy | None) -> float | None:
    """Mean power between two readings.

    A counter that stands still or goes back is broken, not a GPU without power: some versions of macOS let channels
    stall (vladkens/macmon, issue 76).
    """
    if before is None or now is None or now.seconds <= before.seconds or now.millijoules <= before.millijoules:
        return None
    drawn = (now.millijoules - before.millijoules) / 1000 / (now.seconds - before.seconds)
    return round(drawn, 2) if math.isfinite(drawn) else None


class _Meter:
    """A running meter. Its methods raise OSError or ValueError when it has ended or talks nonsense."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._line = b""
        self._asked = False
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)

    def ask(self) -> None:
        """For one more answer, unless the last one is still due."""
        if not self._asked and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the next answer will tell that it has ended
                self._process.stdin.write(b"\n")
            self._asked = True

    def answer(self) -> Energy | None:
        """What it has said since the last call; None where that is not a whole line."""
        if not self._asked or self._process.stdout is None:
            return None
        try:
            piece = os.read(self._process.stdout.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return None
        self._line += piece
        if not piece or len(self._line) > LONGEST_LINE:
            raise ValueError("the meter has ended or does not end its line")
        if not self._line.endswith(b"\n"):
            return None
        line, self._line, self._asked = self._line, b"", False
        return energy(line.decode("ascii", "replace"))

    def end(self) -> int:
        """Its exit code; it is killed where it goes on without input."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            return self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class GpuPower:
    """Asks a meter at each reading and never waits, so that an answer is to the question of the reading before."""

    def __init__(self, command: Sequence[str] = METER) -> None:
        self._command = command
        self._meter: _Meter | None = None
        self._broken = False
        self._last: Energy | None = None

    def read(self) -> float | None:
        """Mean watts between the two newest answers; None where there is no new one, or nothing to ask."""
        if self._broken:
            return None
        try:
            if self._meter is None:
                self._meter = _Meter(self._command)
            found = self._meter.answer()
            self._meter.ask()
        except (OSError, ValueError):
            # One that has done its readings is followed by another, one that failed is not.
            self._broken = self._meter is None or self._meter.end() != 0
            self._meter = self._last = None
            return None
        if found is None:
            return None
        drawn, self._last = watts(self._last, found), found
        return drawn

    def close(self) -> None:
        """End the meter."""
        self._broken = True
        if self._meter is not None:
            self._meter.end()
            self._meter = None


def gpu_power() -> GpuPower | None:
    """A reader of the power where the package it takes is installed."""
    return GpuPower() if importlib.util.find_spec(PACKAGE) is not None else None
