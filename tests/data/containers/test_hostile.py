"""Malformed and hostile input: a sentence or a named line, never another exception, a hang or lost lines."""

import base64
import contextlib
import encodings.aliases
import gzip
import io
import json
import os
import pickle
import re
import socket
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kto_tui.data.containers import stream
from kto_tui.data.containers.lines import LINE_BYTES
from kto_tui.data.containers.reader import Reader
from kto_tui.data.records import Record
from kto_tui.errors import UserError
from tests.data.containers.reading import items, look, zstd

GOOD = {"prompt": "Why?", "completion": "Because.", "label": True}
ROW = json.dumps(GOOD).encode()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# A record at a line, or an unreadable place: its line and what its problem says.
Outcome = int | tuple[int, str]
Expected = str | list[Outcome]


class Bomb:
    """Would leave a trace if anybody unpickled it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch unpickled",)


def lines(*rows: bytes, end: bytes = b"\n") -> bytes:
    return b"".join(row + end for row in rows)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, ROW)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("rows.jsonl")
        info.size = len(ROW)
        archive.addfile(info, io.BytesIO(ROW))
    return out.getvalue()


def parquet(table: pa.Table, compression: str = "snappy") -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression)
    return out.getvalue()


def ipc(table: pa.Table, *, file: bool = True, compression: str | None = None) -> bytes:
    out = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, table.schema, options=options) as writer:
        writer.write(table)
    return bytes(out.getvalue().to_pybytes())


TABLE = pa.table({"prompt": ["a", "b"], "label": [True, False]})
TWICE = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
BROKEN_TEXT = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"]).buffers())
PICKLED = pa.field(
    "x", pa.binary(),
    metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Bomb())},
)  # fmt: skip


def damaged(data: bytes, at: float, by: bytes = b"\xde\xad\xbe\xef" * 8) -> bytes:
    place = int(len(data) * at)
    return data[:place] + by + data[place + len(by) :]


MANY = lines(*(json.dumps({**GOOD, "n": n * 7919 % 10007}).encode() for n in range(2000)))
NOISY = lines(*(json.dumps({"a": np.random.default_rng(n).bytes(300).hex()}).encode() for n in range(1000)))
COLUMNS = {f"column {number}": number for number in range(10_000)}
LONG = b'{"prompt": "' + b"x" * 50_000_000 + b'"}'
CASES: dict[str, tuple[bytes, Expected]] = {
    # nothing there
    "empty": (b"", "empty"),
    "white space": (b" \n\t\r\n  ", "nothing but white space"),
    "megabytes of white space": (b"\n" * 3_000_000, "white space"),
    "only a byte order mark": (b"\xef\xbb\xbf", "nothing but white space"),
    "empty gzip": (gzip.compress(b""), "gzip file is empty inside"),
    # something else in disguise
    "pickle": (pickle.dumps(Bomb()), "pickle.*not opened"),
    "pickle of protocol 2": (pickle.dumps(GOOD, protocol=2), "pickle"),
    "pickle of protocol 0": (pickle.dumps(Bomb(), protocol=0), "pickle"),
    "gzipped pickle": (gzip.compress(pickle.dumps(Bomb())), "pickle.*inside gzip"),
    "zip": (zipped("rows.jsonl"), "zip archive.*Unpack"),
    "workbook": (zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel.*CSV"),
    "PyTorch file": (zipped("archive/data.pkl"), "PyTorch"),
    "tar": (tarred(), "tar archive"),
    "gzipped tar": (gzip.compress(tarred()), "tar archive inside gzip"),
    "picture": (PNG, "PNG"),
    "model, GGUF": (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "GGUF"),
    "model, safetensors": (struct.pack("<Q", 2) + b"{}" + bytes(64), "safetensors"),
    "NumPy array": (b"\x93NUMPY\x01\x00" + bytes(100), "NumPy"),
    "SQLite": (b"SQLite format 3\x00" + bytes(100), "SQLite"),
    "xz": (b"\xfd7zXZ\x00" + bytes(100), "xz.*Unpack"),
    "login page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "words that begin like magic": (b"ORCID,PAREN\nMZ,BZh9\n", [2]),
    "column that is called like a pickle": (b"completion\nhello\nyou\n", "no records"),
    "shell script": (b"#!/bin/sh\nrm -rf /tmp/x, y\n", "a program"),
    "prose": (b"Dear diary\nnothing to see here\n", "no records"),
    "noise": (np.random.default_rng(1).bytes(5000), "binary data|no records"),
    "Python dictionaries": (lines(str(GOOD).encode(), str(GOOD).encode()), "Python dictionaries.*json.dumps"),
    # archives
    "truncated gzip": (gzip.compress(MANY)[:-2000], r"ends? in the middle; it could be read up to line \d+"),
    "gzip without its checksum": (gzip.compress(MANY)[:-4], "end in the middle.*line 2000"),
    "truncated zstd": (zstd(NOISY)[:-9000], r"end in the middle; it could be read up to line \d+"),
    "gzip header alone": (gzip.compress(ROW)[:8], "gzip"),
    "damaged gzip": (damaged(gzip.compress(MANY), 0.9), "gzip data are damaged"),
    "damaged zstd": (damaged(zstd(MANY), 0.5), "zstd data"),
    "gzip with trailing garbage": (gzip.compress(lines(ROW)) + b"garbage", "not gzip follows.*line 1"),
    "gzip with padding": (gzip.compress(lines(ROW)) + bytes(512), [1]),
    "gzip of several members": (gzip.compress(lines(ROW)) + gzip.compress(lines(ROW)), [1, 2]),
    "zstd of several frames": (zstd(lines(ROW)) + zstd(lines(ROW)), [1, 2]),
    "compressed twice": (gzip.compress(gzip.compress(lines(ROW))), "compressed twice"),
    "Parquet inside gzip": (gzip.compress(parquet(TABLE)), "Parquet file inside gzip"),
    "bomb of zeros": (gzip.compress(bytes(100_000_000)), "white space|binary|no records|unpacks"),
    "bomb of one line": (gzip.compress(lines(ROW) + b"x" * 100_000_000), "unpacks to more than.*Unpack it yourself"),
    "bomb of rows": (gzip.compress(b'{"a": "%s"}\n' % (b"x" * 2000) * 40_000), "unpacks to more than 500 times"),
    # JSON lines
    "torn last line": (lines(ROW, ROW) + ROW[:20], [1, 2, (3, "ends in the middle")]),
    "line that is no JSON": (lines(ROW, b"oops", ROW), [1, (2, "not JSON"), 3]),
    "line that is a list": (lines(ROW, b"[1, 2]", ROW), [1, (2, "a list, not an object"), 3]),
    "lines of text, numbers and null": (
        lines(ROW, ROW, ROW, b'"text"', b"7", b"null", b"true"),
        [1, 2, 3, (4, "text, not"), (5, "a number"), (6, "null"), (7, "true or false")],
    ),
    "lists only": (lines(b"[1, 2]", b"[3, 4]"), [(1, "a list"), (2, "a list")]),
    "two objects on a line": (lines(ROW, ROW + ROW, ROW), [1, (2, "extra data"), 3]),
    "a comma after each object": (lines(ROW + b",", ROW, ROW), [(1, "not JSON"), 2, 3]),
    "duplicated key": (lines(ROW, b'{"label": true, "label": false}'), [1, (2, "key 'label' occurs twice")]),
    "duplicated key in disguise": (lines(ROW, b'{"label": true, "l\\u0061bel": 0}'), [1, (2, "'label' occurs twice")]),
    "duplicated key with spaces": (lines(ROW, b'{"a" : 1, "a" :2}'), [1, (2, "'a' occurs twice")]),
    "duplicated key among thousands": (
        lines(ROW, json.dumps(COLUMNS).encode()[:-1] + b', "column 7": 1}'), [1, (2, "'column 7' occurs twice")]
    ),
    "key repeated 100,000 times": (b"{" + b'"k":1,' * 100_000 + b'"k":1}', [(1, "'k' occurs twice")]),
    "key repeated 100,000 times over lines": (b"{" + b'"k":1,\n' * 100_000 + b'"k":1}', [(1, "'k' occurs twice")]),
    "keys that become one": (lines(ROW, b'{"\\ud800": 1, "\\ud801": 2}'), [1, (2, "occurs twice")]),
    "NaN and Infinity": (lines(b'{"a": NaN, "b": Infinity, "c": -Infinity}', ROW), [1, 2]),
    "number out of range": (lines(ROW, b'{"a": 1e999}'), [1, 2]),
    "number of 5,000 digits": (lines(ROW, b'{"a": ' + b"9" * 5000 + b"}"), [1, (2, "number that is too long")]),
    "lone surrogate": (lines(b'{"a": "x\\ud800y", "b": [{"\\udfff": 1}]}'), [1]),
    "NUL bytes in a line": (lines(ROW, b'{"a": "x\x00y"}', ROW), [1, (2, r"control character U\+0000"), 3]),
    "a block of NUL bytes": (lines(ROW, bytes(4096), ROW), [1, (2, "not JSON|control"), 3]),
    "raw line break in text": (lines(ROW, b'{"a": "x', b'y"}', ROW, ROW, ROW), [1, (2, "JSON"), (3, "JSON"), 4, 5, 6]),
    "byte order marks in between": (lines(ROW, b"\xef\xbb\xbf" + ROW), [1, 2]),
    "bad escape": (lines(ROW, b'{"a": "\\x41"}'), [1, (2, "not JSON")]),
    "bad UTF-8": (lines(ROW, ROW, b'{"a": "\xff"}', ROW, ROW), [1, 2, (3, "byte 0xFF is not UTF-8"), 4, 5]),
    "overlong UTF-8": (lines(ROW, ROW, b'{"a": "\xc0\x80"}', ROW), [1, 2, (3, "byte 0xC0"), 4]),
    "surrogate in UTF-8": (lines(ROW, ROW, b'{"a": "\xed\xa0\x80"}', ROW), [1, 2, (3, "byte 0xED"), 4]),
    "bad UTF-16": (
        b"\xff\xfe" + lines(ROW, ROW).decode().encode("utf-16-le") + b'{\0"\0\x00\xd8"\0}\0\n\0',
        [1, 2, (3, "byte 0x00 is not UTF-16")],
    ),
    "UTF-16 cut in a character": (lines(ROW, ROW).decode().encode("utf-16")[:-1], [1, (2, "ends in the middle")]),
    "nested 10,000 deep": (lines(ROW, b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", ROW), [1, (2, "too deeply"), 3]),
    "nested 100,000 deep and torn": (lines(ROW, b"[" * 100_000, ROW), [1, (2, "too deeply"), 3]),
    "10,000 columns": (lines(json.dumps(COLUMNS).encode(), ROW), [1, 2]),
    "line of 50 MB": (lines(ROW, LONG, ROW), [1, (2, "longer than 32 MiB"), 3]),
    "first line of 50 MB": (lines(LONG, ROW), [(1, "longer than 32 MiB"), 2]),
    "last line of 50 MB, torn": (lines(ROW) + LONG[:-2], [1, (2, "longer than 32 MiB")]),
    "line of 50 MB, gzip": (gzip.compress(lines(ROW) + np.random.default_rng(1).bytes(40_000_000).hex().encode(), 1),
                            [1, (2, "longer than 32 MiB")]),
    "line ends of old Macs": (lines(ROW, ROW, end=b"\r"), [1, 2]),
    "blank lines and CRLF": (b"\xef\xbb\xbf" + lines(ROW, b"", b"  ", ROW, end=b"\r\n"), [1, 4]),
    # JSON documents
    "torn array": (b"[\n" + ROW + b",\n" + ROW + b",\n" + ROW[:9], r":4: The element that begins here is never closed"),
    "array without its bracket": (b"[\n" + ROW + b",\n" + ROW + b"\n", r"ends before the array is closed.*line 3"),
    "array without a comma": (b"[\n" + ROW + b",\n" + ROW + b"\n" + ROW + b"]", r":4: A comma is missing"),
    "array with two commas": (b"[\n" + ROW + b",\n,\n" + ROW + b"]", r":3: There is ',' where a value"),
    "array and more": (b"[\n" + ROW + b"\n]\n" + ROW, r":4: Something follows the end"),
    "array of wrong brackets": (b"[\n" + ROW + b',\n{"a": [1}\n]', r"never closed|ends before|missing"),
    "array with a comma at the end": (b"[" + ROW + b",\n]", [1]),
    "array with odd elements": (
        b'[\n{"a": 1},\n[1],\n"x",\n7,\n{"a": 1, "a": 2},\n{"a": tru},\n{"b": "\xff"}\n]',
        [2, (3, "a list"), (4, "text"), (5, "a number"), (6, "twice"), (7, "not JSON"), (8, "byte 0xFF")],
    ),
    "array nested 10,000 deep": (b"[" + ROW + b",\n" + b"[" * 10_000 + b"]" * 10_000 + b"]", [1, (2, "too deeply")]),
    "array with an element of 50 MB": (b"[" + ROW + b",\n" + LONG + b"]", ":2: .*does not end within 32 MiB"),
    "empty array": (b"[]", []),
    "several lists": (b'{"data": [{"a": 1}],\n"rows": [{"b": 1}]}', "several lists: .data., .rows."),
    "object without its brace": (b'{\n"data": [{"a": 1}]', "comma is missing|never closed"),
    "object without a colon": (b'{\n"a" 1\n}', "colon is missing"),
    # CSV
    "too few and too many cells": (b"a,b\n1,2\n3\n4,5,6\n7,8\n", [2, (3, "1 cell where.*2"), (4, "3 cells"), 5]),
    "blank and empty records of CSV": (b'a,b\n1,2\n\n  \n""\n,\n3,4\n', [2, 6, 7]),
    "quote never closed": (b'a,b\n1,2\n3,"4\n5,6\n', r":3: The quote opened here is never closed"),
    "quote not doubled": (b'a,b\n1,2\n"3" x,4\n5,6\n', [2, (3, "not doubled"), 4]),
    "duplicated column": (b"a,b,a\n1,2,3\n", ":1: .*same name: 'a'"),
    "no column names": (b"What is it?,This.,true\nWhy?,So.,false\n", "first line holds data"),
    "no column names, labels 1 and 0": (b"What is it?,This.,1\nWhy?,So.,0\n", "first line holds data"),
    "column without a name": (b",a\n0,1\n", [2]),
    "commas that are not quoted": (
        b"prompt,label\nWhy, oh why?,1\nYes, no, or?,0\nSo?,1\n", [(2, "3 cells"), (3, "4 cells"), 4]
    ),
    "two bad lines among hundreds": (
        lines(*[ROW] * 300, *[b'{"a": "\xff"}'] * 2), [*range(1, 301), (301, "0xFF"), (302, "0xFF")]
    ),
    "bad bytes in a cell": ("ä,b\nü,1\nö,2\n".encode() + b"\xff,3\n4,5\n", [2, 3, (4, "byte 0xFF"), 5]),
    "NUL in a cell": (b"a,b\n1,2\n3\x00,4\n", [2, 3]),
    "10,000 columns of CSV": (",".join(COLUMNS).encode() + b"\n" + b",".join([b"1"] * 10_000) + b"\n", [2]),
    "header alone": (b"prompt,completion,label\n", "no records"),
    # tables
    "truncated Parquet": (parquet(TABLE)[:-5], "cut off"),
    "Parquet magic alone": (b"PAR1", "cut off"),
    "damaged Parquet footer": (damaged(parquet(TABLE), 0.8), "Parquet data are damaged"),
    "duplicated column of Parquet": (parquet(TWICE), "same name: 'a'"),
    "10,000 columns of Parquet": (parquet(pa.table({name: [1] for name in COLUMNS})), [1]),
    "bad text in Parquet": (parquet(pa.table({"a": BROKEN_TEXT})), [1, (2, "column 'a'")]),
    "bomb of Parquet": (parquet(pa.table({"a": [bytes(100_000_000)]}), "zstd"), "unpacks to more than 500 times"),
    "nothing but nulls": (parquet(pa.table({"a": pa.nulls(3, pa.int8())})), [1, 2, 3]),
    "bad text in Arrow": (ipc(pa.table({"a": BROKEN_TEXT})), "Arrow data are damaged"),
    "truncated Arrow": (ipc(TABLE)[:-5], "cut off"),
    "truncated Arrow stream": (ipc(TABLE, file=False)[:-90], "Arrow data are damaged"),
    "Arrow stream of nothing": (b"\xff\xff\xff\xff" + b"\x00" * 4, "Arrow data are damaged|no columns"),
    "Arrow stream that promises gigabytes": (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 50, "Arrow data are damaged"),
    "damaged Arrow": (damaged(ipc(TABLE), 0.9), "Arrow data are damaged"),
    "pickled extension type": (ipc(pa.table([pa.array([b"1"])], schema=pa.schema([PICKLED]))), [1]),
    "pickled extension type in Parquet": (parquet(pa.table([pa.array([b"1"])], schema=pa.schema([PICKLED]))), [1]),
    "duplicated key in a struct": (
        ipc(pa.table({"s": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])})),
        [(1, "column 's'")],
    ),
}  # fmt: skip


def test_the_battery_is_large_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_bad_content(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, expected = CASES[name]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    meets(file, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]


def meets(path: Path, expected: Expected, **choices: object) -> None:
    if isinstance(expected, str):
        with pytest.raises(UserError) as caught:
            items(path, **choices)
        assert re.search(expected, str(caught.value)), str(caught.value)
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
        assert caught.value.mend
        assert caught.value.where
        return
    found = items(path, **choices)
    assert [item.line for item in found] == [place if isinstance(place, int) else place[0] for place in expected]
    for item, place in zip(found, expected, strict=True):
        if isinstance(item, Record):
            assert isinstance(place, int), item
            json.dumps(item.value, ensure_ascii=False, default=str).encode()
        else:
            assert isinstance(place, tuple), item
            assert re.search(place[1], item.problem, re.IGNORECASE), item


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def unix_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def link_loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def folder_loop(path: Path) -> Path:
    path.mkdir()
    (path / "again").symlink_to(path)
    (path / "rows.jsonl").write_bytes(lines(ROW))
    return path


def folder_of(**files: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        for name, content in files.items():
            file = path / name.replace("__", "/").replace("_dot_", ".").replace("_eq_", "=")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return path

    return make


def odd_name(path: Path) -> Path:
    odd = path.with_name(os.fsdecode(b"r\xff\nows.jsonl"))
    odd.write_bytes(b"")
    return odd


def card(text: str) -> bytes:
    return f"---\nconfigs:\n{text}---\n".encode()


OUTSIDE = card("- config_name: default\n  data_files: ../../secret.jsonl\n")
ELSEWHERE = card("- config_name: default\n  data_files: https://host.example/x.jsonl\n")
RUNS = card("- !!python/object/apply:os.system ['touch unpickled']\n")
PLACES: dict[str, tuple[Callable[[Path], Path], Expected]] = {
    "missing": (lambda path: path, "no such data file"),
    "below a file": (lambda path: Path(__file__) / "x", "cannot be read"),
    "name with NUL": (lambda path: path / "a\0b", "cannot be read"),
    "name too long": (lambda path: path / ("x" * 5000), "cannot be read"),
    "name of no text": (odd_name, r"r\\xff\\nows.jsonl: The file is empty"),
    "pipe": (fifo, "a pipe, not a file"),
    "device": (lambda path: Path("/dev/zero"), "a device, not a file"),
    "socket": (unix_socket, "a socket, not a file"),
    "link to itself": (link_loop, "round in a circle"),
    "empty folder": (folder_of(x__y=b""), "holds no data"),
    "folder that holds itself": (folder_loop, [1]),
    "folder of several kinds": (folder_of(a_dot_jsonl=lines(ROW), b_dot_csv=b"a,b\n1,2\n"), "mixes JSON lines.*CSV"),
    "folder with a broken shard": (folder_of(a_dot_jsonl=lines(ROW), b_dot_jsonl=PNG), r"b\.jsonl: This is a PNG"),
    "folder with an empty shard": (folder_of(a_dot_jsonl=lines(ROW), b_dot_jsonl=b""), [1]),
    "folder of pictures": (folder_of(a_dot_png=PNG, b_dot_png=PNG), "holds no data.*a.png, b.png"),
    "partitions": (folder_of(label_eq_1__a_dot_jsonl=lines(ROW)), "partitioned: values of 'label'"),
    "missing shards": (folder_of(**{"train-00000-of-00003_dot_jsonl": lines(ROW)}), "2 of 3 shards are missing"),
    "README that points outside": (folder_of(README_dot_md=OUTSIDE, a_dot_jsonl=lines(ROW)), "outside the folder"),
    "README that points to the net": (folder_of(README_dot_md=ELSEWHERE, a_dot_jsonl=lines(ROW)), "outside the folder"),
    "README that would run": (folder_of(README_dot_md=RUNS, a_dot_jsonl=lines(ROW)), "list of configs cannot be read"),
    "README of nested lists": (
        folder_of(README_dot_md=card("- " + "[" * 5000 + "\n"), a_dot_jsonl=lines(ROW)),
        "list of configs cannot be read",
    ),
    "README that names what is not here": (
        folder_of(README_dot_md=card("- config_name: default\n  data_files: b.jsonl\n"), a_dot_jsonl=lines(ROW)),
        "not here.*b.jsonl",
    ),
    "saved data set that points outside": (
        folder_of(state_dot_json=b'{"_data_files": [{"filename": "../x.arrow"}]}', dataset_info_dot_json=b"{}"),
        "outside the folder",
    ),
    "saved data set without its shard": (
        folder_of(state_dot_json=b'{"_data_files": [{"filename": "x.arrow"}]}', dataset_info_dot_json=b"{}"),
        "x.arrow: There is no such data file",
    ),
    "saved data set whose shard is a folder": (
        folder_of(state_dot_json=b'{"_data_files": [{"filename": "x"}]}', dataset_info_dot_json=b"{}", x__y=b""),
        "x: This is a folder",
    ),
    "saved data set of nonsense": (folder_of(state_dot_json=b"[[[", dataset_info_dot_json=b"{}"), "cannot be read"),
    "saved splits that point outside": (folder_of(dataset_dict_dot_json=b'{"splits": [".."]}'), "no plain names"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_bad_places(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = PLACES[name]
    meets(make(tmp_path / "data"), expected)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_no_permission(kind: str) -> None:
    # Not tmp_path, which nobody but its owner may enter: root, who may read everything, has to become somebody else.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = Path(name, "data")
        path.mkdir() if kind == "folder" else path.write_bytes(lines(ROW))
        path.chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            meets(path, "may not read|cannot be read.*Permission denied")
        finally:
            if is_root:
                os.seteuid(0)
            path.chmod(0o700)


@pytest.mark.parametrize("kind", ["lines", "gzip", "Parquet", "Arrow"])
@pytest.mark.parametrize("change", ["append", "shrink", "touch", "replace", "delete"])
def test_a_file_that_changes_while_it_is_read(change: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    table = pa.table({"a": [f"{n:0500}" for n in range(2000)]})
    makers = {"lines": lambda: MANY, "gzip": lambda: gzip.compress(MANY), "Parquet": lambda: parquet(table)}
    content = makers.get(kind, lambda: ipc(table))()
    file.write_bytes(content)
    reader = iter(Reader(look(file)))
    next(reader)
    if change == "append":
        with file.open("ab") as more:
            more.write(content)
    elif change == "shrink":
        os.truncate(file, len(content) // 3)
    elif change == "touch":
        os.utime(file, (1, 1))
    elif change == "replace":
        other = tmp_path / "other"
        other.write_bytes(content)
        os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        other.replace(file)
    else:
        file.unlink()
    with pytest.raises(UserError, match="changed while it was read"):
        list(reader)


@pytest.mark.parametrize("make", [lambda table: parquet(table, "zstd"), lambda table: ipc(table, compression="zstd")])
def test_a_table_that_unpacks_without_end(
    make: Callable[[pa.Table], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RATIO_FROM_BYTES", 1_000_000)
    file = tmp_path / "rows"
    file.write_bytes(make(pa.table({"a": ["x" * 100_000] * 100})))
    meets(file, "unpacks to more than 500 times")


def test_limits_are_those_that_the_messages_name() -> None:
    assert LINE_BYTES == 32 * 1024**2
    assert (stream.MOST_RATIO, stream.RATIO_FROM_BYTES) == (500, 64 * 1024**2)
    assert stream.MOST_UNPACKED_BYTES == 256 * 1024**3


@pytest.mark.parametrize("encoding", sorted(set(encodings.aliases.aliases.values()) - {"mbcs", "oem"}))
def test_any_codec_may_be_chosen_for_anything(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    for content in (lines(b'{"a": "x\xff\xfe\x80y"}') * 3, b"a,b\n1,\xff\xfe2\n\x80,3\n", bytes(range(256))):
        file.write_bytes(content)
        with contextlib.suppress(UserError):
            items(file, encoding=encoding)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"encoding": "klingon"}, "no text encoding called 'klingon'"),
        ({"encoding": "rot13"}, "no text encoding"),
        ({"encoding": "idna"}, "no text encoding"),
        ({"encoding": "a\0b"}, "no text encoding"),
        ({"split": "train"}, "A single file has no split"),
        ({"config": "en"}, "A single file has no config"),
    ],
)
def test_choices_that_do_not_fit(choices: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(lines(ROW))
    meets(file, message, **choices)
