"""The detached supervisor: waits for the device, starts the training process, measures it and notes how it ended."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from kto_tui.environment import versions
from kto_tui.errors import UserError
from kto_tui.hardware import detect
from kto_tui.hardware.detect import LATE, NVML_SECONDS
from kto_tui.hardware.model import Gpu
from kto_tui.hardware.nvidia import detect_nvidia
from kto_tui.hardware.sources import Sources, in_background
from kto_tui.memory.measured import add
from kto_tui.runs.config import load_config
from kto_tui.runs.control import Action, ControlReader, Request, request
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import (
    Ended,
    Noted,
    PhaseEntered,
    WorkerStarted,
)
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import own_identity, write_identity
from kto_tui.runs.lock import hold
from kto_tui.runs.state import OVER
from kto_tui.worker.attempts import Attempts
from kto_tui.worker.child_environment import SUPERVISOR, device_of, one_gpu, returns_memory, training_gpu
from kto_tui.worker.device_queue import DeviceQueue, Place
from kto_tui.worker.speed_record import speed_of

# A training whose supervisor was killed saves before it ends; a supervisor takes a measurement after its last word.
LEAVING_SECONDS = 15.0
TRAINING = (sys.executable, "-m", "kto_tui.worker")


def _versions(run: RunFolder) -> dict[str, str]:
    """Of Python and of what trains ``run``, by name."""
    found = {"python": platform.python_version()}
    with contextlib.suppress(UserError):  # of a configuration that cannot be read, as the training process will say
        found |= versions(load_config(run.config).backend)
    return found


def _remember_speed(run: RunFolder, environment: Mapping[str, str]) -> None:
    with contextlib.suppress(UserError):  # the estimates of later runs lack one measurement, nothing else
        if (record := speed_of(run, detect(Sources(env=environment)))) is not None:
            add(record)


class Supervisor:
    """One run from its place in the queue to its last word."""

    def __init__(self, run: RunFolder, command: Sequence[str], lock: int) -> None:
        self._run = run
        self._command = command
        self._kept = [lock]
        self._writer = EventWriter(run.events)
        self._requests = ControlReader(run.control)

    def supervise(self) -> int:
        """0 when the run ended well."""
        signal.signal(signal.SIGTERM, self._forward)
        identity = own_identity()
        self._writer.write(WorkerStarted(host=identity.host, pid=identity.pid, versions=_versions(self._run)))
        write_identity(self._run.identity, identity)
        gpus, _ = in_background(detect_nvidia)(NVML_SECONDS) or LATE
        gpu, place, asked = self._await_device(gpus)
        if asked is not None:
            self._writer.write(_ended_in_queue(self._run, asked))
            if place is not None:
                place.leave()
            return 0
        environment, remark = one_gpu(os.environ, gpus, gpu)
        if not gpus:
            environment = returns_memory(environment)
        if remark is not None:
            self._writer.write(Noted(text=remark))
        self._writer.write(PhaseEntered(phase="starting the training process"))
        code = Attempts(self._run, self._writer, lambda: self._start(environment), self._requests.latest).run()
        if place is not None:
            place.leave()
        self._writer.close()
        _remember_speed(self._run, environment)
        return 0 if code == 0 else 1

    def _forward(self, _number: int, _frame: FrameType | None) -> None:
        # The file first: a child that has not yet set up its handlers would die of the signal alone.
        with contextlib.suppress(OSError):
            request(self._run.control, Request(action="stop"))

    def _await_device(self, gpus: Sequence[Gpu]) -> tuple[Gpu | None, Place | None, Action | None]:
        """The GPU if there is one, the place in its queue, and the request that came before the device did."""
        sources = Sources()
        gpu, place = training_gpu(gpus), None
        try:
            if len(gpus) > 1:
                gpu = training_gpu(gpus, [one for one in gpus if DeviceQueue(device_of(one, sources)).runs()])
            place = DeviceQueue(device_of(gpu, sources)).join(self._run.id)
            self._kept.append(place.descriptor)
            return gpu, place, place.wait(self._writer, self._requests.latest)
        except OSError as error:  # no reason not to train
            self._writer.write(Noted(text=f"the queue cannot be kept ({error}); another run may use the same device"))
            return gpu, place, None

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._command, str(self._run.path)],
            stdin=subprocess.DEVNULL,
            env={**environment, SUPERVISOR: str(os.getpid())},
            pass_fds=self._kept,
        )


def _ended_in_queue(run: RunFolder, asked: Action) -> Ended:
    # A stop saves what was learnt: a checkpoint has it already.
    if asked == "pause" or (asked == "stop" and run.newest_checkpoint() is not None):
        return Ended(reason="paused", message=f"Ended in the queue. {run.way_back()}.")
    return Ended(reason="stopped", message="Ended in the queue, before training began")


def main(argv: list[str]) -> int:
    """Entry point: ``python -m kto_tui.worker.supervisor RUN [COMMAND ...]``.

    COMMAND trains the run whose path it gets as its last argument; without one, ``kto_tui.worker`` does.
    """
    run = RunFolder(Path(argv[0]))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    # The terminal must stay quick on a machine whose cores are busy training.
    with contextlib.suppress(OSError):
        os.nice(5)
    over = run.status(run.read_state()) in OVER
    lock = hold(run.lock, wait_seconds=LEAVING_SECONDS if over else 0.0)
    if lock is None:
        print(f"{run.path}: another worker already writes this run", file=sys.stderr)
        return 1
    return Supervisor(run, argv[1:] or TRAINING, lock).supervise()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
