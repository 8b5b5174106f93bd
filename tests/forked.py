"""Training processes forked from a server that has imported torch and MLX once: real ones without their start-up."""

import ctypes
import gc
import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Literal

import msgspec

from kto_tui.runs.control import Request, request
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import AnyEvent
from kto_tui.runs.folder import RunFolder
from kto_tui.worker.child_environment import MMAP_THRESHOLD

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["kto_tui.backends.hf.train", "kto_tui.backends.mlx.train"])
PATIENCE_SECONDS = 300.0
# A number: so many bytes more of memory of its own from then on (RLIMIT_DATA).
Fault = Literal["kill", "pause", "stop"] | Request | int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What befalls a process: ``faults`` once an event whose JSON holds all of the key's words is in the log."""

    faults: dict[tuple[str, ...], Fault] = {}
    save_seconds: float | None = None
    largest_file_bytes: int | None = None


def _strike(run: RunFolder, faults: dict[tuple[str, ...], Fault]) -> None:
    append = EventWriter._append

    def append_and_strike(self: EventWriter, event: AnyEvent) -> bool:
        written = append(self, event)
        line = msgspec.json.encode(event).decode()
        for words, fault in faults.items():
            if all(word in line for word in words):
                if fault == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if isinstance(fault, int):
                    # What ``returns_memory`` asks of glibc for a process of its own (mallopt(3), M_MMAP_THRESHOLD).
                    ctypes.CDLL(None).mallopt(-3, MMAP_THRESHOLD)
                    now = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
                    resource.setrlimit(resource.RLIMIT_DATA, (now + fault, resource.RLIM_INFINITY))
                else:
                    request(run.control, Request(action=fault) if isinstance(fault, str) else fault)
        return written

    EventWriter._append = append_and_strike  # type: ignore[method-assign]


def _work(folder: str, home: str, terms: Terms) -> None:
    from kto_tui.backends.training import answers, saving
    from kto_tui.worker.__main__ import main

    gc.freeze()  # what the server imported need not be looked through again
    answers.MAX_NEW_TOKENS = 4
    os.environ["KTO_TUI_HOME"] = home
    run = RunFolder(Path(folder))
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if terms.save_seconds is not None:
        saving.SAVE_SECONDS = terms.save_seconds
    if terms.largest_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (terms.largest_file_bytes, resource.RLIM_INFINITY))
    _strike(run, terms.faults)
    raise SystemExit(main([folder]))


def _make_model(folder: str) -> None:
    from tests.tiny import make_model

    make_model(Path(folder))


def tiny_model(folder: Path) -> Path:
    """``tests.tiny.make_model``, which needs torch."""
    process = _server.Process(target=_make_model, args=(str(folder),))
    process.start()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0
    return folder


def worker(run: RunFolder, **terms: object) -> int | None:
    """``python -m kto_tui.worker RUN`` to its end on these terms; its exit code, negative when killed."""
    process = _server.Process(target=_work, args=(str(run.path), os.environ["KTO_TUI_HOME"], Terms(**terms)))  # type: ignore[arg-type]
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
    return process.exitcode
