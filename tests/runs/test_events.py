"""The event log: what is written is read, what is torn is counted, and a full disk ends nothing."""

import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.runs.control import Setting
from kto_tui.runs.event_log import EventWriter, Tail
from kto_tui.runs.events import (
    Answer,
    AnyEvent,
    Ended,
    GaugesRead,
    Noted,
    PhaseEntered,
    StepCompleted,
    finite,
)

KINDS = get_args(AnyEvent)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63), 2**63 - 1)
BY_TYPE = {
    str: st.text(),
    bool: st.booleans(),
    int: WHOLE,
    float: FINITE,
    int | None: st.none() | WHOLE,
    float | None: st.none() | FINITE,
    str | None: st.none() | st.text(),
    dict[str, str]: st.dictionaries(st.text(), st.text(), max_size=4),
    Setting: st.none() | st.booleans() | WHOLE | FINITE | st.text() | st.lists(st.text(), max_size=3).map(tuple),
    tuple[Answer, ...]: st.lists(st.builds(Answer, st.text(), st.text(), st.booleans()), max_size=3).map(tuple),
}


def strategy(of: Any) -> st.SearchStrategy[Any]:
    return BY_TYPE[of] if of in BY_TYPE else st.from_type(of)


def of_kind(kind: type[AnyEvent]) -> st.SearchStrategy[AnyEvent]:
    return st.builds(kind, **{field.name: strategy(field.type) for field in msgspec.structs.fields(kind)})


EVENTS = st.sampled_from(KINDS).flatmap(of_kind)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all generated examples."""
    return tmp_path_factory.mktemp("events") / "events.jsonl"


def untimed(events: list[AnyEvent]) -> list[AnyEvent]:
    return [msgspec.structs.replace(event, t=0.0) for event in events]


def put(path: Path, *events: AnyEvent) -> None:
    writer = EventWriter(path)
    for event in events:
        writer.write(event)
    assert writer.lost == 0
    writer.close()


def texts(events: list[AnyEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Noted)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_comes_back(scratch: Path, kind: type[AnyEvent]) -> None:
    @given(st.lists(of_kind(kind), min_size=1, max_size=5))
    def comes_back(events: list[AnyEvent]) -> None:
        scratch.unlink(missing_ok=True)
        put(scratch, *events)
        tail = Tail(scratch)
        found = tail.read()
        assert untimed(found) == untimed(events)
        assert [type(event) for event in found] == [kind] * len(events)
        assert all(event.t > 1_500_000_000 for event in found), "stamped when written"
        assert (tail.skipped, tail.damaged) == (0, 0)
        assert scratch.read_bytes().count(b"\n") == len(events), "one line each"

    comes_back()


@given(st.floats() | st.none() | st.sampled_from(["nan", "word", b"x", [], 10**400, 3, True, "1.5"]))
def test_a_measured_value_is_finite_or_null(scratch: Path, value: object) -> None:
    clean = finite(value)
    assert clean is None or math.isfinite(clean)
    if isinstance(value, float) and math.isfinite(value):
        assert clean == value
    scratch.unlink(missing_ok=True)
    put(scratch, StepCompleted(step=1, total_steps=2, loss=clean))
    event = Tail(scratch).read()[0]
    assert isinstance(event, StepCompleted)
    assert event.loss == clean
    json.loads(scratch.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_even_an_unchecked_nan_travels_as_null(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    put(file, StepCompleted(step=1, total_steps=2, loss=math.nan, kl=math.inf))
    event = Tail(file).read()[0]
    assert (event.loss, event.kl) == (None, None)


@given(st.lists(EVENTS, max_size=8), st.lists(st.integers(0, 4000), max_size=6), st.integers(1, 300))
def test_lines_arrive_whole_however_the_file_grows(
    scratch: Path, events: list[AnyEvent], cuts: list[int], budget: int
) -> None:
    scratch.unlink(missing_ok=True)
    put(scratch, *events)
    content = scratch.read_bytes()
    growing = scratch.with_name("growing.jsonl")
    growing.write_bytes(b"")
    tail, found, done = Tail(growing), [], 0
    for cut in [*sorted(cuts), len(content)]:
        with growing.open("ab") as file:
            file.write(content[done:cut])
        done = max(done, min(cut, len(content)))
        while new := tail.read(budget):
            found += new
        assert len(found) == content[:done].count(b"\n"), "whole lines, no more and no less"
    assert untimed(found) == untimed(events)
    assert (tail.skipped, tail.damaged) == (0, 0)


def test_an_unfinished_last_line_is_not_yet(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    put(file, Noted(text="one"))
    with file.open("ab") as stream:
        stream.write(b'{"kind":"noted","te')
    tail = Tail(file)
    assert texts(tail.read()) == ["one"]
    assert tail.read() == []
    with file.open("ab") as stream:
        stream.write(b'xt":"two"}\n')
    assert texts(tail.read()) == ["two"]
    assert (tail.skipped, tail.damaged) == (0, 0)


def test_no_file_yet(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    assert tail.read() == []
    put(tmp_path / "events.jsonl", Noted(text="one"))
    assert texts(tail.read()) == ["one"]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"kind":"noted","te',
        b"\0" * 100,
        b"\xff\xfe",
        b"[1, 2]",
        b"3",
        b'{"t": 1}',
        b'{"kind": 3}',
        b"[" * 100_000,
        b'{"kind":"noted","text":"a"}{"kind":"noted","text":"b"}',
    ],
    ids=lambda torn: repr(torn[:20]),
)
def test_a_damaged_line_is_counted_and_the_rest_is_read(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "events.jsonl"
    put(file, Noted(text="before"))
    with file.open("ab") as stream:
        stream.write(torn + b"\n")
    put(file, Noted(text="after"))
    tail = Tail(file)
    assert texts(tail.read()) == ["before", "after"]
    assert (tail.skipped, tail.damaged) == (0, 1)


@given(st.binary(max_size=300))
def test_whatever_stands_between_two_events_both_are_read(scratch: Path, junk: bytes) -> None:
    scratch.unlink(missing_ok=True)
    put(scratch, PhaseEntered(phase="first"))
    with scratch.open("ab") as stream:
        stream.write(junk + b"\n")
    put(scratch, Ended(reason="finished"))
    found = Tail(scratch).read()
    assert untimed([found[0], found[-1]]) == [PhaseEntered(phase="first"), Ended(reason="finished")]


def test_a_new_writer_does_not_append_to_a_torn_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"kind":"noted","te')
    put(file, Noted(text="after"), Noted(text="more"))
    tail = Tail(file)
    assert texts(tail.read()) == ["after", "more"]
    assert tail.damaged == 1


def test_mend_after_another_writer_died(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    writer = EventWriter(file)
    writer.write(Noted(text="before"))
    with file.open("ab") as other:
        other.write(b'{"kind":"step_completed","st')
    writer.mend()
    writer.write(Ended(reason="failed"))
    writer.write(Noted(text="after"))
    writer.close()
    tail = Tail(file)
    assert untimed(tail.read()) == [Noted(text="before"), Ended(reason="failed"), Noted(text="after")]
    assert tail.damaged == 1


def test_mend_leaves_a_whole_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    writer = EventWriter(file)
    for text in ("one", "two"):
        writer.mend()
        writer.write(Noted(text=text))
    writer.close()
    assert file.read_bytes().count(b"\n") == 2
    assert b"\n\n" not in file.read_bytes()


def test_unknown_kinds_and_fields_of_a_newer_version(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"kind":"teleported","t":1.0,"where":[1,2]}\n'
        '{"kind":"noted","t":2.0,"text":"known","colour":{"deep":[1]}}\n\n'
        '{"kind":"telepathy"}\n'
    )
    tail = Tail(file)
    assert tail.read() == [Noted(t=2.0, text="known")]
    assert (tail.skipped, tail.damaged) == (2, 0)


def test_an_event_behind_more_unknown_lines_than_the_budget(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind":"teleported"}\n' * 100)
    put(file, Ended(reason="finished"))
    tail = Tail(file)
    assert untimed(tail.read(budget_bytes=50)) == [Ended(reason="finished")]
    assert tail.skipped == 100


def test_a_line_longer_than_the_budget(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    put(file, Noted(text="x" * 5000), Noted(text="y"))
    tail = Tail(file)
    assert texts(tail.read(100)) == ["x" * 5000]
    assert texts(tail.read(100)) == ["y"]


WRITE_MANY = textwrap.dedent("""
    import sys
    from pathlib import Path
    from kto_tui.runs.event_log import EventWriter
    from kto_tui.runs.events import Noted
    writer = EventWriter(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(400):
        writer.write(Noted(text=f"{sys.argv[2]} {number} " + sys.argv[2] * (number * 37 % 9000)))
    print(writer.lost)
""")


def test_two_processes_append_at_once(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_MANY, str(file), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate()[0] for writer in writers] == ["0\n", "0\n"]
    tail, found = Tail(file), []
    while new := tail.read(100_000):
        found += texts(new)
    assert (tail.skipped, tail.damaged) == (0, 0)
    for name in "ab":
        own = [text for text in found if text.startswith(name)]
        assert own == [f"{name} {number} " + name * (number * 37 % 9000) for number in range(400)]
    assert len(found) == 800


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_raises_nothing() -> None:
    writer = EventWriter(Path("/dev/full"))
    for step in range(5):
        writer.write(StepCompleted(step=step, total_steps=5))
    writer.write(Noted(text="note"))
    assert writer.lost == 6
    writer.close()


FILL_THE_DISK = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    from kto_tui.runs.event_log import EventWriter
    from kto_tui.runs.events import StepCompleted
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    writer = EventWriter(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
    for step in range(100):
        writer.write(StepCompleted(step=step, total_steps=101))
    lost = writer.lost
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    writer.write(StepCompleted(step=100, total_steps=101))
    print(lost, writer.lost)
""")


@pytest.mark.parametrize("limit", [0, 1, 700, 701, 1999])
def test_what_a_full_disk_cost_is_noted_once_there_is_room(tmp_path: Path, limit: int) -> None:
    file = tmp_path / "events.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(file), str(limit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lost, still_lost = map(int, done.stdout.split())
    tail = Tail(file)
    found = tail.read()
    kept = [event.step for event in found if isinstance(event, StepCompleted)]
    assert kept == [*range(100 - lost), 100]
    assert lost > 0
    assert still_lost == 0
    assert len(texts(found)) == 1
    assert texts(found)[0].startswith(f"{lost} events could not be written")
    assert isinstance(found[-2], Noted), "the note stands where the gap is"
    assert tail.damaged == 0, "the piece of a line that still fitted was taken back"


def test_the_log_is_private_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    writer = EventWriter(file)
    assert file.stat().st_mode & 0o077 == 0
    assert not os.get_inheritable(writer._fd)
    writer.write(GaugesRead(cpu_percent=1.0))
    writer.close()
    writer.close()
    assert len(Tail(file).read()) == 1
