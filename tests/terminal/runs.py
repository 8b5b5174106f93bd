"""Runs to look at: the recorded one stretched to any length, alive as long as the process that feeds it."""

import shutil
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import msgspec

from kto_tui.runs.event_log import EventWriter, Tail
from kto_tui.runs.events import (
    AnyEvent,
    GaugesRead,
    StepCompleted,
    TrainingStarted,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import own_identity, write_identity

RECORDED = Path(__file__).parents[2] / "screenshots" / "recorded" / "warm-dove"
GAUGE_SECONDS = 2.0


class Recording:
    """The recorded run's events, as many as wanted: its beginning, then its steps and gauges over and over."""

    def __init__(self, total_steps: int) -> None:
        events = [event for batch in iter(Tail(RECORDED / "events.jsonl").read, []) for event in batch]
        first = next(index for index, event in enumerate(events) if isinstance(event, StepCompleted))
        self.total_steps = total_steps
        self.beginning = [
            msgspec.structs.replace(event, total_steps=total_steps) if isinstance(event, TrainingStarted) else event
            for event in events[:first]
        ]
        self._steps = self._numbered([event for event in events if isinstance(event, StepCompleted)])
        # The first gauges are those of a process that has not yet loaded anything.
        self._gauges = cycle([event for event in events if isinstance(event, GaugesRead)][10:])

    def _numbered(self, steps: list[StepCompleted]) -> Iterator[StepCompleted]:
        # The first time as recorded, later without the untrained first half.
        told = iter([*steps, *steps[len(steps) // 2 :] * (self.total_steps // 20 + 1)])
        for number in count(1):
            yield msgspec.structs.replace(next(told), step=number, total_steps=self.total_steps)

    def step(self) -> StepCompleted:
        """The next step."""
        return next(self._steps)

    def gauge(self) -> GaugesRead:
        """The next gauges."""
        return next(self._gauges)


class LiveRun:
    """A run at ``home`` whose supervisor is this process: it writes what it is told to.

    Args:
        past: seconds of gauges, two steps each, that lie behind; the newest is from now.
    """

    def __init__(self, home: Path, *, total_steps: int = 500, past: int = 0, name: str = "warm-dove") -> None:
        path = home / "runs" / name
        path.mkdir(parents=True)
        shutil.copy(RECORDED / "run.toml", path)
        self.run = RunFolder(path)
        self.recording = Recording(total_steps)
        self._write_past(past)
        self.writer = EventWriter(self.run.events)
        write_identity(self.run.identity, own_identity())

    def _write_past(self, seconds: int) -> None:
        """Two steps and a gauge every two seconds."""
        encode, now = msgspec.json.Encoder().encode, time.time()
        begin = now - seconds
        lines = [(begin, event) for event in self.recording.beginning]
        for turn in range(int(seconds / GAUGE_SECONDS)):
            at = begin + turn * GAUGE_SECONDS
            lines += [(at, self.recording.gauge()), (at, self.recording.step()), (at + 1.0, self.recording.step())]
        with self.run.events.open("wb") as file:
            file.writelines(encode(msgspec.structs.replace(event, t=round(at, 3))) + b"\n" for at, event in lines)

    def write(self, *events: AnyEvent) -> None:
        """Append ``events``, stamped with the time."""
        for event in events:
            self.writer.write(event)

    def step(self) -> None:
        """One more step."""
        self.write(self.recording.step())

    def gauge(self) -> None:
        """One more reading."""
        self.write(self.recording.gauge())
