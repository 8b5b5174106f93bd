"""A training process for the supervisor's tests: it does one thing (the first argument) to the run (the last one)."""

import os
import signal
import sys
import time
from pathlib import Path

from kto_tui.runs.config import load_config
from kto_tui.runs.control import ControlReader
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import (
    DataPrepared,
    Ended,
    MemoryRanOut,
    PhaseEntered,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import in_force

MIB = 1024**2
ROW_BYTES = 60 * MIB


def prepare(writer: EventWriter, max_length: int) -> None:
    writer.write(
        DataPrepared(
            train_rows=90, heldout_rows=10, desirable=45, undesirable=45, dropped_rows=0, desirable_weight=1.0,
            undesirable_weight=1.0, weights_because="balanced", cut_rows=4096 // max_length,
        )
    )  # fmt: skip


def main() -> int:
    deed, run = sys.argv[1], RunFolder(Path(sys.argv[-1]))
    parent = os.getppid()
    writer, reader = EventWriter(run.events), ControlReader(run.control)
    recipe = in_force(load_config(run.config), run.read_state().adjustments).recipe
    writer.write(PhaseEntered(phase=f"{deed} {recipe.micro_batch}"))
    match deed:
        case "wait":  # for a request, or for the supervisor's death
            while (action := reader.latest()) is None and os.getppid() == parent:
                time.sleep(0.02)
            writer.write(Ended(reason="paused" if action == "pause" else "stopped"))
        case "allocate":  # what a pass of that many rows would take
            taken = bytearray(ROW_BYTES * recipe.micro_batch)
            taken[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(range(0, len(taken), os.sysconf("SC_PAGE_SIZE")))
            writer.write(Ended(reason="finished"))
        case "raise":  # an out-of-memory exception, until max_length is short enough
            prepare(writer, recipe.max_length)
            if recipe.max_length > int(sys.argv[2]):
                writer.write(MemoryRanOut(proof="exception", message=f"tried {recipe.max_length} tokens"))
                return 1
            writer.write(Ended(reason="finished"))
        case "abort":  # as the C++ runtime does with what nothing catches, until few enough rows are asked for
            if recipe.micro_batch > int(sys.argv[2]):
                sys.stderr.write(sys.argv[3] + "\n")
                sys.stderr.flush()
                os.abort()
            writer.write(Ended(reason="finished"))
        case "die":
            os.kill(os.getpid(), signal.Signals[sys.argv[2]])
        case "exit":
            return int(sys.argv[2])
        case "finish":
            writer.write(Ended(reason="finished"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
