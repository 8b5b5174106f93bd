"""Starts the download program and hands on what it says; no library of the hub's is imported here."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from kto_tui.hub import sentences
from kto_tui.hub.cache import HUB_ID, cached
from kto_tui.hub.updates import Done, Failed, Progressed, Update
from kto_tui.starter import MODEL_ID

PATIENCE_SECONDS = 5.0
_decoder: msgspec.json.Decoder[Update] = msgspec.json.Decoder(Update)


def must_fetch(model_id: str) -> bool:
    """Whether ``model_id`` must be downloaded before it can be trained: a hub id of which not all is here.

    The starter model has a second source and is fetched by the backend.
    """
    if model_id == MODEL_ID or not HUB_ID.fullmatch(model_id):
        return False
    found = cached(model_id)
    return found is None or not found.complete


def to_fetch(model_id: str, size: int | None) -> int | None:
    """How much of a model's ``size`` bytes is not here yet; None where its size is unknown."""
    found = cached(model_id)
    if size is None or found is None:
        return size
    return 0 if found.complete else max(0, size - found.size_bytes)


class Download:
    """One running download. Iterate for its updates, the last is ``Done`` or ``Failed``; leaving the block ends it.

    ``cancel`` may be called from another thread than the one that iterates.
    """

    def __init__(self, model_id: str, revision: str | None = None) -> None:
        asked = [] if revision is None else ["--revision", revision]
        # A session of its own: Ctrl-C reaches the program only by way of ``cancel``.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kto_tui.hub.fetch", *asked, "--", model_id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        self._cancelled = False

    def __iter__(self) -> Iterator[Update]:
        last: Update | None = None
        for line in self._process.stdout or ():
            with contextlib.suppress(msgspec.DecodeError):
                last = _decoder.decode(line)
                yield last
        code = self._process.wait()
        if not isinstance(last, Done | Failed):
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            yield sentences.interrupted() if self._cancelled else sentences.unexpected(how)

    def cancel(self) -> None:
        """Ask it to end; what has arrived stays and is gone on from next time."""
        self._cancelled = True
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


def tenths(updates: Iterable[Update]) -> Iterator[Update]:
    """``updates`` with at most one progress per 10 %: for logs and lines."""
    told = -1
    for update in updates:
        if isinstance(update, Progressed):
            tenth = int(update.share * 10)
            if tenth <= told:
                continue
            told = tenth
        yield update
