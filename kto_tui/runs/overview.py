"""What the list of runs says of each: read once, then only what is new, and kept for runs that are over."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from kto_tui import __version__
from kto_tui.atomic import write_atomically
from kto_tui.paths import cache_home
from kto_tui.runs.about import known_about
from kto_tui.runs.curves import Series
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import Resumed, StepCompleted
from kto_tui.runs.folder import RunFolder, folder_bytes, list_runs
from kto_tui.runs.heldout_words import highest_known, lowest_known, tuned
from kto_tui.runs.state import RunState, Status, fold, status

SHAPE_POINTS = 60  # of a sparkline, at most
SIZE_SECONDS = 60.0  # between two looks at how large a run is on disk

Metric = Literal["margin", "loss"]


class RunSummary(msgspec.Struct, frozen=True):
    """One line of ``kto-tui runs``; times are Unix seconds.

    Attributes:
        heldout_accuracy: of the last evaluation.
        heldout_best: of the best evaluation.
        heldout_loss: of the last evaluation, in nats per token; of SFT runs, which have no accuracy.
        heldout_loss_best: of the best evaluation.
        size_bytes: of all files of the run; None where they cannot be counted.
        shape: the curve of ``shape_of`` in at most ``SHAPE_POINTS`` points; None is a gap.
    """

    id: str
    state: Status
    step: int
    total_steps: int | None
    loss: float | None
    tokens_per_second: float | None
    started: float | None
    ended: float | None
    reason: str | None
    path: str
    heldout_accuracy: float | None = None
    message: str | None = None
    title: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    heldout_best: float | None = None
    size_bytes: int | None = None
    shape_of: Metric = "margin"
    shape: tuple[float | None, ...] = ()
    heldout_loss: float | None = None
    heldout_loss_best: float | None = None

    @property
    def words(self) -> str:
        """What a filter looks through, in lower case."""
        return " ".join((self.id, self.state, self.title, *self.tags, self.note)).casefold()


class Digest(msgspec.Struct, frozen=True):
    """What the list needs of an event log of ``size`` bytes that was last written at ``mtime_ns``."""

    size: int
    mtime_ns: int
    state: RunState
    shape_of: Metric
    shape: tuple[float | None, ...]


class _Kept(msgspec.Struct):
    version: str
    digests: dict[str, Digest]


class _Reader:
    """An event log as far as it has been read."""

    def __init__(self, run: RunFolder) -> None:
        self._tail = Tail(run.events)
        self._state = RunState()
        self._series: dict[Metric, Series] = {"margin": Series(), "loss": Series()}

    def read(self, size: int, mtime_ns: int) -> Digest:
        """Take in what is new."""
        while events := self._tail.read():
            self._state = slim(fold(self._state, events))
            for event in events:
                match event:
                    case StepCompleted():
                        self._series["margin"].add(event.step, event.margin)
                        self._series["loss"].add(event.step, event.loss)
                    case Resumed():
                        for series in self._series.values():
                            series.cut(event.step)
        shapes = {metric: shape(series) for metric, series in self._series.items()}
        of: Metric = next((metric for metric, points in shapes.items() if any(p is not None for p in points)), "margin")
        return Digest(size, mtime_ns, self._state, of, shapes[of])


def slim(state: RunState) -> RunState:
    """``state`` without what no list shows: answers and notes make up nearly all of its memory."""
    return msgspec.structs.replace(state, samples=(), notes=(), checkpoints=(), adjustments=())


def shape(series: Series) -> tuple[float | None, ...]:
    """A curve in at most ``SHAPE_POINTS`` points: means of neighbours, None where none of them is known."""
    means = [bucket.mean for bucket in series]
    width = max(1, math.ceil(len(means) / SHAPE_POINTS))
    groups = ([mean for mean in means[i : i + width] if not math.isnan(mean)] for i in range(0, len(means), width))
    return tuple(math.fsum(group) / len(group) if group else None for group in groups)


class Overview:
    """All runs, newest first; ``refresh`` as often as you like."""

    def __init__(self) -> None:
        self._file = cache_home() / "runs.json"
        self._digests = _load(self._file)
        self._kept = dict(self._digests)
        self._readers: dict[str, _Reader] = {}
        self._sizes: dict[str, tuple[float, int | None]] = {}

    def refresh(self) -> list[RunSummary]:
        """What holds now."""
        return list(self.each())

    def each(self) -> Iterator[RunSummary]:
        """As ``refresh``, one by one: the first reading of long logs takes its time."""
        runs = list_runs()
        yield from (self.one(run) for run in runs)
        for gone in (self._digests.keys() | self._sizes.keys()) - {str(run.path) for run in runs}:
            self._digests.pop(gone, None)
            self._readers.pop(gone, None)
            self._sizes.pop(gone, None)
        over = {path: digest for path, digest in self._digests.items() if path not in self._readers}
        if over.keys() != self._kept.keys() or any(over[path] is not self._kept[path] for path in over):
            self._kept = over
            _save(self._file, over)

    def one(self, run: RunFolder) -> RunSummary:
        """What holds now of ``run``."""
        key, alive = str(run.path), run.alive()
        before, digest = self._digests.get(key), self._digest(run, key)
        if alive is not True:
            self._readers.pop(key, None)
            if digest is not before:
                self._sizes.pop(key, None)
        return _summary(run, digest, status(digest.state, alive=alive, now=time.time()), self._size(run, key))

    def _digest(self, run: RunFolder, key: str) -> Digest:
        known = self._digests.get(key)
        try:
            stat = run.events.stat()
        except OSError:
            return Digest(0, 0, RunState(), "margin", ())
        if known is None or (known.size, known.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            if known is None or stat.st_size < known.size:
                self._readers.pop(key, None)
            reader = self._readers.setdefault(key, _Reader(run))
            known = self._digests[key] = reader.read(stat.st_size, stat.st_mtime_ns)
        return known

    def _size(self, run: RunFolder, key: str) -> int | None:
        at, size = self._sizes.get(key, (-math.inf, None))
        now = time.monotonic()
        if now - at >= SIZE_SECONDS:
            size = None
            with contextlib.suppress(OSError):  # a checkpoint that goes while it is counted
                size = folder_bytes(run.path)
            self._sizes[key] = (now, size)
        return size


def summarise(run: RunFolder) -> RunSummary:
    """What the runs list shows of ``run``."""
    return Overview().one(run)


def _summary(run: RunFolder, digest: Digest, word: Status, size_bytes: int | None) -> RunSummary:
    state, about = digest.state, known_about(run.about)
    last, ended = state.last_step, state.ended
    accuracies, losses = ([getattr(one, name) for one in tuned(state.evaluations)] for name in ("accuracy", "loss"))
    return RunSummary(
        id=run.id,
        state=word,
        step=state.step,
        total_steps=state.total_steps,
        loss=None if last is None else last.loss,
        tokens_per_second=None if last is None else last.tokens_per_second,
        started=None if state.started is None else state.started.t,
        ended=None if ended is None else ended.t,
        reason=None if ended is None else ended.reason,
        path=str(run.path),
        heldout_accuracy=accuracies[-1] if accuracies else None,
        message=None if ended is None else ended.message or None,
        title=about.title,
        tags=about.tags,
        note=about.note,
        heldout_best=highest_known(accuracies),
        heldout_loss=losses[-1] if losses else None,
        heldout_loss_best=lowest_known(losses),
        size_bytes=size_bytes,
        shape_of=digest.shape_of,
        shape=digest.shape,
    )


def _load(file: Path) -> dict[str, Digest]:
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        if kept.version == __version__:
            return kept.digests
    return {}


def _save(file: Path, digests: dict[str, Digest]) -> None:
    with contextlib.suppress(OSError, UnicodeEncodeError):  # it can be read again
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, msgspec.json.encode(_Kept(__version__, digests)))
