"""A real program on a real pseudo-terminal that says what arrived, and when; knows nothing of what it drew."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
QUIET_SECONDS = 0.25
# What such a terminal asks about itself and what it answers: it knows synchronised output, and no more.
ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y"}
FRAME = b"\x1b[?2026h"
_ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHM])")
# The terminal's own variables come from the test alone.
UNSET = ("NO_COLOR", "COLORTERM", "LC_ALL", "LC_CTYPE", "TMUX", "TERM_PROGRAM", "KTO_TUI_ASCII", "COLUMNS", "LINES")


class Terminal:
    """A terminal of ``columns`` x ``rows`` with a program in it, which is the leader of its own session.

    Attributes:
        chunks: what arrived, and when (monotonic seconds).
    """

    def __init__(self, *argv: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
        home = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        # Opened anew by a session leader without one, the terminal becomes the session's own: it hears hang-ups.
        opened = f'exec "$0" "$@" <>{os.ttyname(slave)} >&0 2>&0'
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", opened, *argv],
            start_new_session=True,
            env={**inherited, **home, **(env or {})},
            # Tests that were started with nohup would hand on that hang-ups are ignored.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - nothing else is done there
        )
        self._reading = True
        self.chunks: list[tuple[float, bytes]] = []
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, args=(slave,), daemon=True)
        self._reader.start()

    def _read(self, slave: int) -> None:
        self._until(lambda: self.process.poll() is not None or self._opened(), PATIENCE_SECONDS)
        os.close(slave)
        with contextlib.suppress(OSError):  # the program is gone
            while self._reading:
                if not select.select([self._master], [], [], 0.02)[0]:
                    continue
                if not (block := os.read(self._master, 65536)):
                    return
                with self._lock:
                    self.chunks.append((time.monotonic(), block))
                for question, answer in ANSWERS.items():
                    if question in block:
                        os.write(self._master, answer)

    def _opened(self) -> bool:
        return os.tcgetpgrp(self._master) == self.process.pid

    @property
    def size(self) -> int:
        """Bytes that arrived so far: what ``seen`` and ``frames`` take as a beginning."""
        with self._lock:
            return sum(len(block) for _, block in self.chunks)

    def raw(self, since: int = 0) -> bytes:
        """The bytes that arrived after the first ``since``."""
        with self._lock:
            return b"".join(block for _, block in self.chunks)[since:]

    def seen(self, since: int = 0) -> str:
        """The same without escape sequences, in the order it was written."""
        return _ESCAPES.sub(b"", self.raw(since)).decode("utf-8", "replace")

    def frames(self, since: int = 0) -> int:
        """Updates drawn after the first ``since`` bytes."""
        return self.raw(since).count(FRAME)

    def quiet_since(self) -> float:
        """When the last byte arrived (monotonic seconds); 0 before the first."""
        with self._lock:
            return self.chunks[-1][0] if self.chunks else 0.0

    def arrived(self, since: int) -> float:
        """When the first byte after ``since`` arrived (monotonic seconds)."""
        with self._lock:
            size = 0
            for at, block in self.chunks:
                size += len(block)
                if size > since:
                    return at
        raise AssertionError("nothing arrived")

    @staticmethod
    def _until(holds: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not (found := holds()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found

    def wait_for(self, text: str, since: int = 0, seconds: float = PATIENCE_SECONDS) -> Self:
        """Return once ``text`` was drawn; AssertionError with what was drawn instead."""
        assert self._until(lambda: text in self.seen(since), seconds), f"{text!r} not in {self.seen(since)[-2000:]!r}"
        return self

    def settle(self, seconds: float = QUIET_SECONDS) -> Self:
        """Return once nothing has arrived for ``seconds``."""
        assert self._until(lambda: time.monotonic() - self.quiet_since() > seconds, PATIENCE_SECONDS), "never quiet"
        return self

    def wait_arrived(self, since: int, seconds: float = PATIENCE_SECONDS) -> Self:
        """Return once anything arrived after ``since``."""
        assert self._until(lambda: self.size > since, seconds), "nothing arrived"
        return self

    def wait_frame(self, since: int, seconds: float = PATIENCE_SECONDS) -> Self:
        """Return once an update was drawn after ``since`` and the terminal is quiet again."""
        assert self._until(lambda: self.frames(since) > 0, seconds), "nothing was drawn"
        return self.settle()

    def press(self, keys: str) -> None:
        """Type ``keys``."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the kernel tells the program."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def stall(self) -> None:
        """Read nothing more, as a connection that hangs: what the program draws piles up."""
        self._reading = False
        self._reader.join(PATIENCE_SECONDS)

    def hang_up(self) -> None:
        """Take the terminal away, as a dropped connection does."""
        self.stall()
        os.close(self._master)
        self._master = -1

    def ended(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The exit code, once it has ended."""
        code = self.process.wait(seconds)
        self._until(lambda: time.monotonic() - self.quiet_since() > 0.1, seconds)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.stall()
        if self._master >= 0:
            os.close(self._master)


def attached(
    run: Path, *flags: str, size: tuple[int, int] = (80, 24), env: Mapping[str, str] | None = None
) -> Terminal:
    """``kto-tui attach`` of the run at ``run`` in a terminal of ``size`` (columns, rows)."""
    argv = (sys.executable, "-m", "kto_tui", "attach", str(run), *flags)
    return Terminal(*argv, columns=size[0], rows=size[1], env=env)
