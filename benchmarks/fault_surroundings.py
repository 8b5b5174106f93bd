"""Faults of what surrounds a run: its disk, its terminal, its clock, its machine."""

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from faulty import Place, Tally, adapter, events_of, go_on, gone, over, processes, settle, wait

from kto_tui.paths import runs_home
from kto_tui.runs.config import to_toml
from kto_tui.runs.folder import RunFolder, list_runs
from kto_tui.runs.identity import read_identity, write_identity
from kto_tui.runs.launch import start
from kto_tui.runs.state import RESUMABLE


def full_disk(place: Place, reference: RunFolder) -> Iterator[Tally]:
    """A small tmpfs is filled to the last byte in the middle of a run, then freed; once more with a kill between."""
    for killed in (False, True):
        tally = Tally(fault=f"disk full for a while{', and kill -9 in it' * killed}")
        with small_disk(place) as inside:
            if inside is None:
                tally.remark = "not run: no right to mount a tmpfs"
                yield tally
                return
            run = start(inside.config())
            wait(run, lambda state: state.step >= 5)
            filler = inside.home / "filler"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)
            time.sleep(4)
            told, _ = events_of(run)
            if killed:
                for process in processes(run):
                    process.kill()
                gone(run, tally)
            filler.unlink()
            tally.times += 1
            if run.status(run.read_state()) in RESUMABLE:
                go_on(run, tally, told)
            over(run)
            gone(run, tally)
            # Steps that could not be told are missing in the log, which says so; what was learnt is not.
            tally.differing += adapter(run) != adapter(reference)
            tally.unreadable_lines += events_of(run)[1]
            yield tally


@contextlib.contextmanager
def small_disk(place: Place) -> Iterator[Place | None]:
    """``place`` on a tmpfs just large enough to start a run."""
    home = place.home / "tmpfs"
    home.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(home)], capture_output=True, check=False
    )
    if mounted.returncode:
        yield None
        return
    before, os.environ["KTO_TUI_HOME"] = os.environ["KTO_TUI_HOME"], str(home)
    try:
        yield msgspec.structs.replace(place, home=home)
    finally:
        os.environ["KTO_TUI_HOME"] = before
        subprocess.run(["umount", "-l", str(home)], check=False)


def on_terminal(*argv: str) -> tuple[subprocess.Popen[bytes], int]:
    """``kto-tui`` on a pseudo-terminal of its own: the process and our end of the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "kto_tui", *argv],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are no threads here
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def painted(terminal: int, seconds: float) -> bytes:
    """What arrives on a terminal within so many seconds."""
    found, deadline = b"", time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                found += os.read(terminal, 65536)
            except OSError:
                break
    return found


def terminals(place: Place, reference: RunFolder) -> Iterator[Tally]:
    """The terminal a run was started from is dropped; two screens watch one run at once, one of them is dropped."""
    tally = Tally(fault="terminal dropped")
    file = place.home / "run.toml"
    file.write_bytes(to_toml(place.config()).encode())
    known = set(list_ids())
    process, terminal = on_terminal("train", str(file))
    while not (new := set(list_ids()) - known):
        time.sleep(0.1)
    run = RunFolder(runs_home() / new.pop())
    wait(run, lambda state: state.step >= 2)
    os.close(terminal)
    process.wait(60)
    tally.times += 1
    settle(run, tally, reference)
    yield tally

    tally = Tally(fault="two screens on one run, one dropped")
    run = start(place.config())
    wait(run, lambda state: state.step >= 1)
    screens = [on_terminal("attach", run.id) for _ in range(2)]
    shown = [painted(terminal, 6) for _, terminal in screens]
    tally.not_resumed += sum(run.id.encode() not in text for text in shown)
    os.close(screens[0][1])
    os.write(screens[1][1], b"q")
    painted(screens[1][1], 3)
    for process, _ in screens:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            tally.orphans += 1
            process.kill()
    os.close(screens[1][1])
    tally.times += 1
    settle(run, tally, reference)
    yield tally


def list_ids() -> list[str]:
    """Names of all runs."""
    return [run.id for run in list_runs()]


def clock(place: Place, reference: RunFolder) -> Iterator[Tally]:
    """The clock jumps two days ahead and four back while a run trains (libfaketime)."""
    tally = Tally(fault="clock moved two days ahead, four back")
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None:
        tally.remark = "not run: libfaketime is not installed (apt install faketime)"
        yield tally
        return
    offset = place.home / "clock"
    offset.write_text("+0")
    moved = {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    os.environ |= moved
    try:
        run = start(place.config())
    finally:
        for name in moved:
            del os.environ[name]
    for step, jump in ((3, "+2d"), (20, "-2d"), (40, "+0")):
        wait(run, lambda state, step=step: state.step >= step or state.ended is not None)  # type: ignore[misc]
        offset.write_text(jump)
        tally.times += 1
    settle(run, tally, reference)
    yield tally


def reboot(place: Place, reference: RunFolder) -> Iterator[Tally]:
    """All processes vanish, and the identity left behind is of another boot."""
    tally = Tally(fault="machine rebooted", times=1)
    run = start(place.config())
    wait(run, lambda state: state.step >= 5)
    for process in processes(run):
        process.kill()
    gone(run, tally)
    identity = read_identity(run.identity)
    assert identity is not None
    write_identity(run.identity, msgspec.structs.replace(identity, boot="another", pid=os.getpid()))
    told, _ = events_of(run)
    go_on(run, tally, told)
    settle(run, tally, reference)
    yield tally
