"""Whatever the bytes: records, unreadable places or a UserError, and no line of JSON lines is lost."""

import gzip
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.containers.reader import Reader
from kto_tui.data.containers.sniff import Sniffed, sniff
from kto_tui.data.records import Record, Unreadable
from kto_tui.errors import UserError
from tests.data.containers.reading import zstd

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
ROWS = [
    {
        "prompt": f"Why {n}?",
        "messages": [{"role": "user", "content": "Because “so”.\n" * n}] * (n % 3),
        "label": n % 2 == 0,
        "tag": f"kind {n % 2}",
    }
    for n in range(12)
]
TABLE = pa.Table.from_pylist(ROWS)
TABLE = TABLE.set_column(3, "tag", TABLE["tag"].dictionary_encode())
ARRAY = json.dumps(ROWS, indent=1).encode()
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(TABLE, out)
    return out.getvalue()


def arrow(*, file: bool) -> bytes:
    out = pa.BufferOutputStream()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, TABLE.schema) as writer:
        writer.write(TABLE)
    return bytes(out.getvalue().to_pybytes())


WHOLE = {
    "lines": LINES,
    "array": ARRAY,
    "wrapped": b'{"version": 1, "data": ' + ARRAY + b"}",
    "CSV": b'prompt,completion,label\n"Why, ""so""?",Because.,true\n"a\nb",c,false\n' * 5,
    "UTF-16": LINES.decode().encode("utf-16"),
    "gzip": gzip.compress(LINES),
    "zstd": zstd(LINES),
    "Parquet": parquet(),
    "Arrow": arrow(file=True),
    "Arrow stream": arrow(file=False),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "rows"


def outcome(path: Path) -> tuple[Sniffed | None, list[Record | Unreadable], str]:
    """What it is, what could be read of it, and the sentence about the rest."""
    sniffed = None
    found: list[Record | Unreadable] = []
    try:
        sniffed = sniff(path, DataChoices())
        found.extend(Reader(sniffed))
    except UserError as error:
        return sniffed, found, str(error)
    return sniffed, found, ""


def survives(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    sniffed, found, error = outcome(path)
    if sniffed is None or error:
        error.encode()
        assert "\n" not in error
        return
    for item in found:
        if isinstance(item, Unreadable):
            item.problem.encode()
        else:
            json.dumps(item.value, ensure_ascii=False, default=str).encode()
    if sniffed.kind == "jsonl" and sniffed.encoding == "utf-8" and not sniffed.compression:
        end = b"\n" if b"\n" in data else b"\r"
        text = data.removeprefix(b"\xef\xbb\xbf").split(end)
        assert [item.line for item in found] == [number for number, line in enumerate(text, 1) if line.strip()]


@given(data=st.binary(max_size=300))
def test_random_bytes(scratch: Path, data: bytes) -> None:
    survives(scratch, data)


@given(
    magic=st.sampled_from(
        [b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xff\xfe"]
    ),
    data=st.binary(max_size=200),
)
def test_random_bytes_after_the_beginning_of_something(scratch: Path, magic: bytes, data: bytes) -> None:
    survives(scratch, magic + data)
    survives(scratch, magic + data + magic)


@given(rows=st.lists(JSON, max_size=6), separator=st.sampled_from(["\n", ",\n", "\r\n", " ", "\n\n"]))
def test_random_json(scratch: Path, rows: list[object], separator: str) -> None:
    text = separator.join(json.dumps(row) for row in rows)
    survives(scratch, text.encode())
    survives(scratch, f"[{text}]".encode())


@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_mutated_files(scratch: Path, name: str, data: st.DataObject) -> None:
    """Some bytes are cut out, overwritten or put in."""
    content = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(content)))
        end = begin + data.draw(st.integers(0, 20))
        content[begin:end] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"{", b'"', b"]", b"\n", b"\\", b"\0"])
        )
    survives(scratch, bytes(content))


@given(name=st.sampled_from(sorted(WHOLE)), share=st.floats(0, 1))
def test_files_that_are_cut_off(scratch: Path, name: str, share: float) -> None:
    survives(scratch, WHOLE[name][: int(share * len(WHOLE[name]))])


@given(data=st.data())
def test_records_before_a_cut_are_whole(scratch: Path, data: st.DataObject) -> None:
    """The records that come before a cut are the first of the whole file, for each form that holds rows in order."""
    name = data.draw(st.sampled_from(["lines", "array", "wrapped", "gzip", "Arrow stream"]))
    scratch.write_bytes(WHOLE[name][: data.draw(st.integers(1, len(WHOLE[name])))])
    _, items, error = outcome(scratch)
    found = [item.value for item in items if isinstance(item, Record)]
    assert found == ROWS[: len(found)]
    assert not error or re.search(r"[A-Z].*\. [A-Z].*\.$", error)
