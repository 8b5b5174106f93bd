"""The training process of a run: measured while it lives, started again one rung lower when memory ran out."""

import contextlib
import select
import signal
import subprocess
import time
from collections.abc import Callable

from kto_tui.hardware.cgroup import oom_kills
from kto_tui.hardware.sources import Sources
from kto_tui.runs.config import load_config
from kto_tui.runs.control import Action
from kto_tui.runs.event_log import EventWriter, Tail
from kto_tui.runs.events import (
    Adjusted,
    AnyEvent,
    DataPrepared,
    Ended,
    MemoryRanOut,
    Noted,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import MAX_RELAUNCHES, in_force, next_rung
from kto_tui.runs.state import RunState, fold
from kto_tui.worker.obituary import obituary, shortage_told
from kto_tui.worker.telemetry import Telemetry

GAUGE_SECONDS = 2.0
POLL_SECONDS = 0.1
NOTHING_LEFT = "Nothing that keeps KTO valid is left to lower: take a smaller model, a lower lora_rank or nf4"


class Attempts:
    """Runs training processes until one has said its last word or nothing more is tried.

    Args:
        run: whose.
        writer: of its events.
        start: starts a training process.
        asked: the request in force, if any.
    """

    def __init__(
        self,
        run: RunFolder,
        writer: EventWriter,
        start: Callable[[], subprocess.Popen[bytes]],
        asked: Callable[[], Action | None],
    ) -> None:
        self._run = run
        self._writer = writer
        self._start = start
        self._asked = asked
        self._tail = Tail(run.events)
        self._state = RunState()
        self._shortage: MemoryRanOut | None = None
        self._shortened_from: DataPrepared | None = None
        while self._read():
            pass

    def run(self) -> int:
        """Exit code of the last training process; the run then has a last word."""
        relaunched = 0
        while True:
            before, written = oom_kills(Sources()), self._log_bytes()
            code = self._attempt()
            if self._state.ended is not None:
                return code
            after = oom_kills(Sources())
            if self._shortage is None and code == -signal.SIGKILL and (after or 0) > (before or 0):
                message = f"the kernel killed the training process, its control group's kill number {after}"
                self._shortage = MemoryRanOut(proof="kernel", message=message)
                self._writer.write(self._shortage)
            if self._shortage is None and (said := shortage_told(self._run, code, since=written)) is not None:
                self._shortage = MemoryRanOut(proof="exception", message=said)
                self._writer.write(self._shortage)
            if self._shortage is None:
                self._writer.write(obituary(self._run, code, counted=None not in {before, after}))
                return code
            step = self._step_down(self._shortage, relaunched)
            self._writer.write(step)
            if isinstance(step, Ended):
                return code
            relaunched += 1

    def _log_bytes(self) -> int:
        try:
            return self._run.log.stat().st_size
        except OSError:
            return 0

    def _attempt(self) -> int:
        self._shortage = None
        child = self._start()
        with contextlib.closing(Telemetry(child.pid)) as telemetry:
            due = 0.0
            while child.poll() is None:
                if (now := time.monotonic()) >= due:
                    self._writer.write(telemetry.read(now))
                    self._read()
                    due = now + GAUGE_SECONDS
                select.select([], [], [], POLL_SECONDS)  # not sleep, which fails where libfaketime moves the clock
        self._writer.mend()
        while self._read():
            pass
        return child.returncode

    def _read(self) -> list[AnyEvent]:
        events = self._tail.read()
        for event in events:
            if isinstance(event, MemoryRanOut):
                self._shortage = event
            elif isinstance(event, DataPrepared) and (before := self._shortened_from) is not None:
                self._shortened_from = None
                self._writer.write(Noted(text=_shortening(before, event)))
        self._state = fold(self._state, events)
        return events

    def _step_down(self, shortage: MemoryRanOut, relaunched: int) -> Adjusted | Ended:
        """The next rung, or why there is none."""
        recipe = in_force(load_config(self._run.config), self._state.adjustments).recipe
        rung = next_rung(recipe)
        if self._asked() is None and rung is not None and relaunched < MAX_RELAUNCHES:
            if rung.name == "max_length":
                self._shortened_from = self._state.data
            before = getattr(recipe, rung.name)
            return Adjusted(name=rung.name, before=before, after=rung.value, because=rung.because, by="recovery")
        what = f"Memory ran out ({shortage.message})"
        if rung is None:
            what = f"{what}. {NOTHING_LEFT}"
        elif relaunched >= MAX_RELAUNCHES:
            what = f"{what}, also after lowering the settings {relaunched} times. Close what else uses memory"
        return Ended(reason="failed", cause="out_of_memory", message=f"{what}. {self._run.way_back()}.")


def _shortening(before: DataPrepared, now: DataPrepared) -> str:
    rows = now.train_rows + now.heldout_rows
    return (
        f"the shorter max_length cuts {now.cut_rows} of {rows} rows (before: {before.cut_rows}) "
        f"and drops {now.dropped_rows} (before: {before.dropped_rows})"
    )
