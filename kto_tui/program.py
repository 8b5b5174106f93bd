"""A program of ours that runs beside the terminal and says what it does, one JSON line each on its standard output."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

PATIENCE_SECONDS = 5.0
Said = TypeVar("Said")


class Program(Generic[Said]):
    """One running program. Iterate for what it says; leaving the block ends it.

    ``cancel`` may be called from another thread than the one that iterates.

    Args:
        module: what to run with this Python.
        arguments: after it.
        said: type of a line; lines that are none are passed over.
        told: what it reads from its standard input.

    Attributes:
        ended: how it ended, in words, once the iteration is over; empty when it ended well.
        cancelled: whether ``cancel`` was called.
    """

    def __init__(self, module: str, arguments: Sequence[str], said: object, *, told: bytes = b"") -> None:
        self._decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(said)
        # A session of its own: Ctrl-C reaches the program only by way of ``cancel``.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        self.ended = ""
        self.cancelled = False
        with contextlib.suppress(BrokenPipeError), self._process.stdin or contextlib.nullcontext():
            if self._process.stdin is not None:
                self._process.stdin.write(told)

    def __iter__(self) -> Iterator[Said]:
        for line in self._process.stdout or ():
            with contextlib.suppress(msgspec.DecodeError):
                yield self._decoder.decode(line)
        code = self._process.wait()
        if code:
            self.ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def cancel(self) -> None:
        """Ask it to end."""
        self.cancelled = True
        self._process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cancel()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
