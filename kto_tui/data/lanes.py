"""Takes large files of JSON lines with several programs side by side; what comes of it is as if one had read them."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.checks.facts import OTHER, UNLABELLED, Facts
from kto_tui.data.containers.kind import Sniffed
from kto_tui.data.lane import UTF8, Job, Stretch, Told
from kto_tui.data.shapes.form import Form
from kto_tui.data.store import FACTS
from kto_tui.errors import UserError
from kto_tui.units import MIB

if TYPE_CHECKING:
    import pyarrow as pa

# Below this the programs' start costs more than they gain.
LEAST_BYTES = 32 * MIB
STRETCH_BYTES = 4 * MIB
# Each takes some 110 MB; all together stay below 500.
MOST_LANES = 3
LINE, CODE = FACTS.index("line"), FACTS.index("code")


def lanes_for(sniffed: Sniffed) -> int:
    """How many programs read a source: one for each processor core, or none where this process had better do it."""
    cut = all((one.kind, one.compression, one.encoding) == ("jsonl", "", UTF8) for one in sniffed.members or (sniffed,))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_LANES) if cut and cores > 1 and sniffed.bytes_total >= LEAST_BYTES else 0


class Lanes:
    """Iterate for the batches; however that ends, the programs end too.

    Args:
        sniffed: the source.
        form: how records are read.
        chat: as of ``Intake``.
        count: of programs.

    Attributes:
        labels, records, rows, bytes_done: as of ``OneByOne``.
    """

    def __init__(self, sniffed: Sniffed, form: Form, count: int, *, chat: bool) -> None:
        self.labels = Facts()
        self.records = 0
        self.rows = 0
        self.bytes_done = 0
        self._stretches = tuple(_stretches(sniffed))
        self._jobs = [Job(form, chat, self._stretches[lane::count]) for lane in range(count)]

    def __iter__(self) -> Generator["pa.RecordBatch", None, None]:
        programs: list[subprocess.Popen[bytes]] = []
        try:
            programs += map(_start, self._jobs)
            lanes = [_Lane(program) for program in programs]
            file, lines = 0, 0
            for number, stretch in enumerate(self._stretches):
                lane = lanes[number % len(lanes)]
                if stretch.file != file:
                    file, lines = stretch.file, 0
                told = lane.told()
                lane.codes += map(self.labels.code, told.values)
                for _ in range(told.batches):
                    batch, _ = lane.read()
                    self.rows += batch.num_rows
                    yield _placed(batch, lines, lane.codes)
                lines += told.lines
                self.records += told.records
                self.bytes_done += stretch.end - stretch.begin
        finally:
            for program in programs:
                program.kill()
                program.wait()
                if program.stdout is not None:
                    program.stdout.close()


class _Lane:
    """``codes``: of the labels here, by those of the program."""

    def __init__(self, program: "subprocess.Popen[bytes]") -> None:
        self.codes = [UNLABELLED]
        self._program = program
        self._stream: pa.ipc.RecordBatchStreamReader | None = None

    def read(self) -> tuple["pa.RecordBatch", Mapping[bytes, bytes]]:
        import pyarrow as pa

        try:
            self._stream = self._stream or pa.ipc.open_stream(self._program.stdout)
            batch, metadata = self._stream.read_next_batch_with_custom_metadata()
        except (OSError, pa.ArrowInvalid, StopIteration):
            self._program.kill()
            code = self._program.wait()
            raise UserError(
                f"A program that was reading the file ended (exit code {code})",
                mend="Open the file again, with fewer other programs running if memory is short",
            ) from None
        return batch, metadata or {}

    def told(self) -> Told:
        """What begins the next stretch.

        Raises:
            UserError: the stretch cannot be read.
        """
        told = msgspec.json.decode(self.read()[1][b"told"], type=Told)
        if told.refused is not None:
            what, mend, where = told.refused
            raise UserError(what, mend=mend, where=where)
        return told


def _stretches(sniffed: Sniffed) -> Iterator[Stretch]:
    for file, member in enumerate(sniffed.members or (sniffed,)):
        for begin in range(0, member.bytes_total, STRETCH_BYTES):
            yield Stretch(file, os.fsencode(member.path), begin, min(begin + STRETCH_BYTES, member.bytes_total))


def _start(job: Job) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C ends whoever waits for it, and that ends the program.
    program = subprocess.Popen(
        [sys.executable, "-m", "kto_tui.data.lane"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    with contextlib.suppress(BrokenPipeError), program.stdin or contextlib.nullcontext():
        if program.stdin is not None:
            program.stdin.write(msgspec.json.encode(job))
    return program


def _placed(batch: "pa.RecordBatch", lines: int, codes: list[int]) -> "pa.RecordBatch":
    """``batch`` with lines counted from the file's beginning and the labels' codes of all programs."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if lines:
        batch = batch.set_column(
            LINE, batch.schema.field(LINE), pc.add(batch.column(LINE), pa.scalar(lines, pa.uint64()))
        )
    if codes != list(range(len(codes))):
        table = np.full(OTHER + 1, OTHER, dtype="u2")
        table[: len(codes)] = codes
        batch = batch.set_column(CODE, batch.schema.field(CODE), pa.array(table[batch.column(CODE).to_numpy()]))
    return batch
