"""Asks the tokenizer program, so that no process with a screen imports a tokenizer; blocks until it answers."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import msgspec

from kto_tui.data.rows import Row
from kto_tui.data.tokens.protocol import Answer, CountTokens, RenderRow, Request
from kto_tui.data.tokens.rendered import Rendered
from kto_tui.errors import UserError

PROGRAM = "kto_tui.backends.training.tokens_program"
PATIENCE_SECONDS = 5.0
# Rows per request: so many that the way there does not matter, so few that neither side holds a data set.
BATCH_ROWS = 256
BATCH_CHARACTERS = 1_000_000
_decoder = msgspec.json.Decoder(Answer)


class TokenizerProcess:
    """The model's tokenizer in a child process; ``close`` or leaving the block ends it.

    Starting does not wait: the tokenizer loads while other things are done. ``close`` may be called from another
    thread than the one that waits for an answer.

    Args:
        model: folder or id on the hub; nothing is downloaded.

    Raises:
        UserError: the program cannot be started. Every question raises it where the model or its tokenizer is not on
            this machine, cannot be loaded, has no chat template for chat rows or one that refuses a row, or where the
            program has ended.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._asking = threading.Lock()
        try:
            # A session of its own: Ctrl-C is for the terminal. It ends when its standard input does, whatever ends us.
            self._process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, "--", model],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        except (OSError, ValueError) as error:
            raise _failed(f"cannot be started ({error})", model) from None

    def lengths(self, rows: Sequence[Row]) -> list[tuple[int, int]]:
        """Tokens of prompt and completion of each row, as training takes it before anything is cut."""
        return [pair for batch in _batches(rows) for pair in self._ask(CountTokens(batch)).lengths or ()]

    def render(self, row: Row, max_length: int | None = None) -> Rendered:
        """``row`` as the model sees it."""
        answer = self._ask(RenderRow(row, max_length)).rendered
        assert answer is not None  # noqa: S101 - the program answers what it is asked
        return answer

    def _ask(self, request: Request) -> Answer:
        with self._asking:
            line = b""
            with contextlib.suppress(OSError, ValueError):  # it has ended, or was closed meanwhile
                assert self._process.stdin is not None  # noqa: S101 - pipes, see above
                assert self._process.stdout is not None  # noqa: S101
                self._process.stdin.write(msgspec.json.encode(request) + b"\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _failed(self._how_it_ended(), self._model)
        answer = _decoder.decode(line)
        if answer.error is not None:
            raise UserError(answer.error.what, mend=answer.error.mend, where=answer.error.where)
        return answer

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "no longer answers"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """End the program; questions after it raise a UserError."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what it did not read any more
                if pipe is not None:
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _failed(how: str, model: str) -> UserError:
    mend = "Try again; until then lengths are estimated from characters"
    return UserError(f"The program that counts tokens {how}", mend=mend, where=model)


def _batches(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += row.characters
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield tuple(batch)
            batch, characters = [], 0
    if batch:
        yield tuple(batch)
