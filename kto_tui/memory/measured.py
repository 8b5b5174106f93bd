"""What runs on this machine have measured: peaks beside predictions, and speeds. It corrects later predictions."""

import contextlib
import os
import statistics
from pathlib import Path
from typing import Annotated

import msgspec

from kto_tui.paths import data_home, make_private

KEPT_LINES, TAIL_BYTES = 200, 200_000
# A run that differs more than this from its prediction was not the run that was predicted.
LEAST, MOST = 0.5, 2.0
Bytes = Annotated[float, msgspec.Meta(gt=0, le=2**50)]


class PeakRecord(msgspec.Struct, frozen=True, kw_only=True, tag="peak", tag_field="kind", omit_defaults=True):
    """Peak memory after a run's first step, in bytes.

    Attributes:
        device: name of the processor or GPU.
        run: id of the run.
        weights: predicted bytes of the base model, which the correction leaves alone.
        predicted: inside the allocator, for the very rows of that step.
        measured: the same, measured.
        outside: measured outside the allocator; None where that could not be read.
        backend: whose step it was; it corrects predictions of that one alone.
    """

    device: str
    run: str
    weights: Annotated[float, msgspec.Meta(ge=0, le=2**50)]
    predicted: Bytes
    measured: Bytes
    outside: Bytes | None = None
    backend: str = "hf"


class SpeedRecord(msgspec.Struct, frozen=True, kw_only=True, tag="speed", tag_field="kind", omit_defaults=True):
    """Mean speed of a finished run. ``flops``: useful floating-point operations per second; ``watts``: mean draw."""

    device: str
    run: str
    precision: str
    flops: Annotated[float, msgspec.Meta(gt=0, le=1e20)]
    watts: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    backend: str = "hf"


Record = PeakRecord | SpeedRecord


class Correction(msgspec.Struct, frozen=True):
    """Medians over runs: measured to predicted bytes beyond the weights, and bytes outside the allocator."""

    factor: float
    outside: float | None
    runs: int


def store() -> Path:
    """The file that keeps the records, JSON lines."""
    return data_home() / "measured.jsonl"


def add(record: Record) -> None:
    """Append a record; a disk that is full or read-only costs later runs accuracy, never this one."""
    with contextlib.suppress(OSError):
        make_private(data_home())
        # A leading line break ends a line that a crash left torn; empty lines are skipped on reading.
        line = b"\n" + msgspec.json.encode(record) + b"\n"
        descriptor = os.open(store(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def records() -> list[Record]:
    """The newest records, oldest first; damaged lines and records of a newer version are left out."""
    try:
        with store().open("rb") as file:
            file.seek(max(0, store().stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    found: list[Record] = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found.append(msgspec.json.decode(line, type=PeakRecord | SpeedRecord))
    return found[-KEPT_LINES:]


def correction(device: str | None, backend: str = "hf") -> Correction | None:
    """What the runs of ``backend`` on ``device`` say about its predictions; None where there were none."""
    peaks = [
        one for one in records() if isinstance(one, PeakRecord) and one.device == device and one.backend == backend
    ]
    factors = []
    for one in peaks:
        beyond = one.predicted - one.weights
        if beyond > 0 and one.measured > one.weights:
            factors.append(min(MOST, max(LEAST, (one.measured - one.weights) / beyond)))
    if not factors:
        return None
    outside = [one.outside for one in peaks if one.outside is not None]
    return Correction(statistics.median(factors), statistics.median(outside) if outside else None, len(factors))


def speeds(device: str | None, backend: str = "hf") -> list[SpeedRecord]:
    """The speeds of the runs of ``backend`` on ``device``, oldest first."""
    found = [one for one in records() if isinstance(one, SpeedRecord)]
    return [one for one in found if one.device == device and one.backend == backend]
