"""Every container in every compression and encoding gives the rows that were written, and says what it is."""

import csv
import io
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.containers.reader import Reader
from kto_tui.data.records import Record, Unreadable
from tests.data.containers.reading import PACK, items, look, values

Rows = list[dict[str, object]]
ROWS: Rows = [
    {"prompt": "Was ist höflich?", "completion": "„Bitte“ – das\nheißt: gern; ja, „danke“!", "label": True},
    {"prompt": "C'est déjà fermé?", "completion": "Le café,\tça va très bien. Où ça?", "label": False},
    {"prompt": 'Sag "ja"', "completion": "ja|nein", "label": True},
]


def lines(rows: Rows, *, ascii_only: bool = False, end: str = "\n") -> str:
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + end for row in rows)


def table(rows: Rows, delimiter: str, end: str) -> str:
    out = io.StringIO(newline="")
    # csv quotes only those line ends it writes itself.
    quoting = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def array(rows: Rows, indent: int | None, *, ascii_only: bool = False) -> str:
    return json.dumps(rows, indent=indent, ensure_ascii=ascii_only)


# How it is written, its kind, and whether cells are text.
TEXTS: dict[str, tuple[Callable[[Rows], str], str, bool]] = {
    "lines": (lines, "jsonl", False),
    "lines, ASCII": (lambda rows: lines(rows, ascii_only=True), "jsonl", False),
    "lines, CRLF": (lambda rows: lines(rows, end="\r\n"), "jsonl", False),
    "lines without the last end": (lambda rows: lines(rows).rstrip("\n"), "jsonl", False),
    "array on one line": (lambda rows: array(rows, None), "json", False),
    "array, pretty": (lambda rows: array(rows, 2), "json", False),
    "array of lines": (lambda rows: "[\n" + lines(rows, end=",\n").rstrip(",\n") + "\n]\n", "json", False),
    "list under data": (lambda rows: json.dumps({"version": "1", "data": rows}, ensure_ascii=False), "json", False),
    "list under rows, pretty": (lambda rows: json.dumps({"rows": rows}, indent=4, ensure_ascii=False), "json", False),
    "list under a new name": (lambda rows: json.dumps({"judged": rows}, ensure_ascii=False), "json", False),
    "pretty objects": (lambda rows: "".join(json.dumps(row, indent=2) + "\n" for row in rows), "json", False),
    "CSV": (lambda rows: table(rows, ",", "\r\n"), "csv", True),
    "CSV, Unix": (lambda rows: table(rows, ",", "\n"), "csv", True),
    "CSV, semicolons": (lambda rows: table(rows, ";", "\r\n"), "csv", True),
    "CSV, bars": (lambda rows: table(rows, "|", "\n"), "csv", True),
    "TSV": (lambda rows: table(rows, "\t", "\n"), "tsv", True),
}
# Codec to write with, the one that is found, and whether it is found without being chosen.
ENCODINGS = {
    "utf-8": ("utf-8", True),
    "utf-8-sig": ("utf-8", True),
    "utf-16": ("utf-16", True),
    "utf-16-le": ("utf-16-le", True),
    "utf-16-be": ("utf-16-be", True),
    "utf-32": ("utf-32", True),
    "cp1252": ("cp1252", True),
    "mac_roman": ("mac-roman", False),
}


def as_cells(rows: Rows) -> Rows:
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", TEXTS)
def test_text(form: str, encoding: str, compression: str, tmp_path: Path) -> None:
    write, kind, cells = TEXTS[form]
    codec, found = ENCODINGS[encoding]
    file = tmp_path / "feedback.bin"  # the name says nothing
    content = write(ROWS).encode(encoding)
    file.write_bytes(PACK[compression](content))
    plain = content.isascii() and 0 not in content
    choices = {} if found or plain else {"encoding": encoding}
    sniffed = look(file, **choices)
    assert (sniffed.kind, sniffed.compression, sniffed.files) == (kind, compression, (file,))
    assert sniffed.encoding == ("utf-8" if plain else codec)
    assert 0 < sniffed.confidence <= 1
    assert sniffed.because
    assert values(file, **choices) == (as_cells(ROWS) if cells else ROWS)


CHAT: Rows = [
    {**row, "messages": [{"role": "user", "content": row["prompt"]}], "stars": 4.5, "day": "2024-05-01"} for row in ROWS
]


def arrow(rows: Rows, *, file: bool) -> bytes:
    out = pa.BufferOutputStream()
    found = pa.Table.from_pylist(rows)
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, found.schema) as writer:
        writer.write_table(found, max_chunksize=2)
    return bytes(out.getvalue().to_pybytes())


def parquet(rows: Rows, codec: str = "snappy") -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, compression=codec, row_group_size=2)
    return out.getvalue()


TABLES: dict[str, tuple[Callable[[Rows], bytes], str]] = {
    "Parquet": (parquet, "parquet"),
    "Parquet, zstd": (lambda rows: parquet(rows, "zstd"), "parquet"),
    "Parquet, brotli": (lambda rows: parquet(rows, "brotli"), "parquet"),
    "Arrow file": (lambda rows: arrow(rows, file=True), "arrow"),
    "Arrow stream": (lambda rows: arrow(rows, file=False), "arrow"),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables(form: str, tmp_path: Path) -> None:
    write, kind = TABLES[form]
    file = tmp_path / "feedback.bin"
    file.write_bytes(write(CHAT))
    assert look(file).kind == kind
    assert values(file) == CHAT
    assert [item.line for item in items(file)] == [1, 2, 3]


def test_times_and_bytes_in_tables(tmp_path: Path) -> None:
    file = tmp_path / "odd"
    columns = {
        "when": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")),
        "late": pa.array([2**60], pa.timestamp("s")),
        "raw": pa.array([b"\xff\x00"]),
        "tag": pa.array(["a"]).dictionary_encode(),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
        "none": pa.nulls(1),
    }
    table = pa.table(columns)
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, table.schema) as to:
        to.write(table)
    (row,) = values(file)
    assert row["when"] == "2023-11-14 22:13:20.123456789Z"
    assert isinstance(row["late"], str)
    assert (row["raw"], row["tag"], row["map"], row["none"]) == (b"\xff\x00", "a", [("k", 1)], None)


REAL = {
    "cp1252": "Die Antwort ist höflich, aber zu lang – „schön“ für die Nutzer. Le café n’était pas fermé",
    "cp1251": "Ответ вежливый, но слишком длинный. Пользователь недоволен качеством перевода",
    "koi8-r": "Ответ вежливый, но слишком длинный. Пользователь недоволен качеством перевода",
    "cp932": "回答は丁寧ですが、長すぎます。ユーザーは翻訳の品質に不満です。もう一度試してください。",
    "gb18030": "回答很有礼貌，但是太长了。用户对翻译质量不满意。请再试一次。",
    "big5": "回答很有禮貌，但是太長了。使用者對翻譯品質不滿意。請再試一次。",
    "cp949": "답변은 공손하지만 너무 깁니다. 사용자는 번역 품질에 불만이 있습니다.",
    "cp1250": "Odpowiedź jest uprzejma, ale zbyt długa. Użytkownik jest niezadowolony z jakości tłumaczenia.",
}


@pytest.mark.parametrize("encoding", REAL)
@pytest.mark.parametrize("form", ["lines", "CSV"])
def test_encodings_are_found_in_real_text(encoding: str, form: str, tmp_path: Path) -> None:
    rows: Rows = [{"prompt": f"{n}", "completion": REAL[encoding], "label": n % 2 == 0} for n in range(8)]
    write, _, cells = TEXTS[form]
    file = tmp_path / "rows"
    file.write_bytes(write(rows).encode(encoding))
    sniffed = look(file)
    assert (sniffed.encoding, sniffed.confidence < 0.7) == (encoding, True)
    assert "choose another encoding" in sniffed.because
    assert values(file) == (as_cells(rows) if cells else rows)


def test_utf_16_without_a_mark_and_with_few_latin_letters(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(lines([{"вопрос": REAL["cp1251"], "метка": "👍"}] * 3).encode("utf-16-le"))
    assert len(values(file)) == 3
    assert look(file).encoding == "utf-16-le"


def test_a_chosen_encoding_wins(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("prompt,label\nпривет,1\n".encode("cp1251"))
    assert values(file, encoding="windows-1251") == [{"prompt": "привет", "label": "1"}]
    assert values(file, encoding="cp1252") == [{"prompt": "ïðèâåò", "label": "1"}]


@pytest.mark.parametrize("written", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_may_be_chosen_whatever_the_byte_order(written: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("prompt,label\nпривет,1\n".encode(written))
    assert values(file, encoding="utf-16") == [{"prompt": "привет", "label": "1"}]


def test_letters_that_come_late_decide_the_encoding_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    plain = b"prompt,label\n" + b"hello there,1\n" * 150_000
    file.write_bytes(plain + "schön grün,0\n".encode("cp1252") * 2000)
    assert look(file).encoding == "cp1252"


LINES = {
    "CSV with line breaks in cells": ('a,b\n"1\n1",2\n\n3,"4\r\n4\n4"\n5,6\n', [2, 5, 8]),
    "CSV, CRLF": ("a,b\r\n1,2\r\n\r\n3,4\r\n", [2, 4]),
    "pretty array": ('\n[\n  {\n  "a": 1\n  },\n\n  {"a": 2}, {"a": 3},\n  {\n "a": "\\n"\n}\n]', [3, 7, 7, 8]),
    "list inside": ('{\n"version": 1,\n"data": [\n{"a": 1},\n{"a": 2}\n],\n"end": {"x": [1]}}', [4, 5]),
    "lines": ('\n{"a": 1}\n\n  \n{"a": 2}', [2, 5]),
}


@pytest.mark.parametrize("form", LINES)
def test_each_record_knows_its_line(form: str, tmp_path: Path) -> None:
    text, expected = LINES[form]
    file = tmp_path / "rows"
    file.write_bytes(text.encode())
    assert [item.line for item in items(file)] == expected
    assert all(isinstance(item, Record) for item in items(file))


ONE = {
    "one record on a line": ({"prompt": "a", "label": True}, "jsonl", 1),
    "one chat on a line": ({"messages": [{"role": "user", "content": "a"}], "label": True}, "jsonl", 1),
    "chosen and rejected": ({"chosen": [{"role": "user"}], "rejected": [{"role": "user"}]}, "jsonl", 1),
    "rows under data": ({"data": [{"a": 1}, {"a": 2}]}, "json", 2),
    "rows under a new name": ({"judged": [{"a": 1}, {"a": 2}]}, "json", 2),
    "a list that is not first": ({"prompt": "a", "sources": [{"a": 1}]}, "jsonl", 1),
    "a list of text": ({"words": ["a", "b"]}, "jsonl", 1),
}


@pytest.mark.parametrize("form", ONE)
def test_one_object_is_a_record_or_holds_a_list(form: str, tmp_path: Path) -> None:
    content, kind, count = ONE[form]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(content))
    assert (look(file).kind, len(values(file))) == (kind, count)
    file.write_text(json.dumps(content, indent=2))
    assert (look(file).kind, len(values(file))) == ("json", count)


def test_halves_of_surrogate_pairs_become_replacement_characters(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": "x\\ud800y", "b": [{"\\udfff": "\\ud83d\\ude00"}], "c": NaN}\n')
    (row,) = values(file)
    assert (row["a"], row["b"]) == ("x\ufffdy", [{"\ufffd": "😀"}])
    assert row["c"] != row["c"]


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(",prompt\n0,Why?\n")
    assert values(file) == [{"column 1": "0", "prompt": "Why?"}]


TITLES = [
    ("lines", "utf-8", "gzip", "JSON lines, gzip, UTF-8"),
    ("array, pretty", "utf-16", "", "JSON, UTF-16"),
    ("CSV, semicolons", "cp1252", "zstd", "CSV, semicolons, zstd, cp1252"),
    ("TSV", "utf-8", "", "TSV, UTF-8"),
]


@pytest.mark.parametrize(("form", "encoding", "compression", "title"), TITLES)
def test_titles(form: str, encoding: str, compression: str, title: str, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(PACK[compression](TEXTS[form][0](ROWS).encode(encoding)))
    assert look(file).title == title


CELL = st.text(max_size=40)
ROUND = st.lists(
    st.fixed_dictionaries({"prompt": CELL, "completion": CELL, "label": st.booleans()}), min_size=1, max_size=8
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CELL, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.lists(st.dictionaries(CELL, ANY, min_size=1, max_size=5), min_size=2, max_size=6)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "rows"


def survives(rows: Rows, encoding: str) -> bool:
    text = json.dumps(rows, ensure_ascii=False)
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


@given(
    rows=ROUND,
    form=st.sampled_from(sorted(TEXTS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "shift_jis", "gb18030", "utf-32"]),
    compression=st.sampled_from(sorted(PACK)),
)
def test_random_rows_come_back(scratch: Path, rows: Rows, form: str, encoding: str, compression: str) -> None:
    if not survives(rows, encoding):
        encoding = "utf-8"
    write, _, cells = TEXTS[form]
    scratch.write_bytes(PACK[compression](write(rows).encode(encoding)))
    assert values(scratch, encoding=encoding) == (as_cells(rows) if cells else rows)


@given(
    rows=OBJECTS,
    form=st.sampled_from(["lines", "lines, ASCII", "array on one line", "array, pretty", "array of lines"]),
)
def test_random_objects_come_back_without_a_choice(scratch: Path, rows: Rows, form: str) -> None:
    """Whatever keys and values, doubled keys are seen nowhere."""
    scratch.write_bytes(TEXTS[form][0](rows).encode())
    assert values(scratch) == rows


@given(rows=ROUND, form=st.sampled_from(sorted(TABLES)))
def test_random_tables_come_back(scratch: Path, rows: Rows, form: str) -> None:
    scratch.write_bytes(TABLES[form][0](rows))
    assert values(scratch) == rows


@given(
    keys=st.lists(st.sampled_from(["a", "label", "é", 'q"', "a/b", "\\", "\t", "the label"]), min_size=1, max_size=4),
    spaces=st.sampled_from(["", " ", "  "]),
    spell=st.booleans(),
)
def test_doubled_keys_are_always_seen(scratch: Path, keys: list[str], spaces: str, *, spell: bool) -> None:
    """However the second is written."""
    members = [f"{json.dumps(key)}{spaces}:{spaces}{json.dumps(key)}" for key in keys]
    if spell:
        escaped = "".join(f"\\u{ord(char):04x}" for char in keys[0])
        members.append(f'"{escaped}" : 1')
    text = f'{{"first": "line"}}\n{{{", ".join(members)}}}\n'
    scratch.write_text(text, encoding="utf-8")
    unique = len(set(keys)) == len(keys) and not spell
    assert isinstance(items(scratch)[1], Record if unique else Unreadable)


BLOCK = lines([{"prompt": "Why is it so? " * 20, "completion": "Because, as “they” say. " * 30, "label": True}] * 100)


def large(file: Path, size: int, begin: str = "", between: str = "") -> int:
    """How many blocks there are; of 100 rows each."""
    block = BLOCK.encode()
    count = size // len(block)
    with file.open("wb") as out:
        out.write(begin.encode())
        for _ in range(count):
            out.write(block if not between else block.replace(b"\n", between.encode()))
    return count


@pytest.mark.parametrize(
    ("kind", "begin", "between", "limit"), [("jsonl", "", "", 2 << 20), ("json", "[", ",\n", 4 << 20)]
)
def test_memory_is_bounded_by_the_row_and_not_by_the_file(
    kind: str, begin: str, between: str, limit: int, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    blocks = large(file, 40 << 20, begin, between)
    if begin:
        with file.open("ab") as out:
            out.write(b"]")
    sniffed = look(file)
    assert sniffed.kind == kind
    tracemalloc.start()
    count = sum(isinstance(item, Record) for item in Reader(sniffed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100 * blocks
    assert peak < limit


def test_objects_over_several_lines_are_read_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("".join(json.dumps({**row, "sources": ["x" * 5000]}, indent=1) + "\n" for row in ROWS) * 500)
    sniffed = look(file)
    tracemalloc.start()
    count = sum(isinstance(item, Record) for item in Reader(sniffed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < file.stat().st_size / 4) == (1500, True)


def test_parquet_is_read_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    pq.write_table(pa.table({"a": [f"{n:01000d}" for n in range(30_000)]}), file)  # one row group of 30 MB
    tracemalloc.start()
    count = sum(1 for _ in Reader(look(file)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 20 << 20) == (30_000, True)


def test_a_gigabyte_is_sniffed_in_less_than_a_second(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    large(file, 4 << 20)
    with file.open("r+b") as out:
        out.truncate(1 << 30)  # the rest is a hole: it takes no space
    begin = time.perf_counter()
    sniffed = look(file)
    assert time.perf_counter() - begin < 1
    assert (sniffed.kind, sniffed.bytes_total) == ("jsonl", 1 << 30)


def test_progress_grows_with_what_was_read(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    large(file, 4 << 20)
    reader = Reader(look(file))
    seen = [reader.bytes_done]
    seen += [reader.bytes_done for _ in reader]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == file.stat().st_size
    assert len(set(seen)) > 10


def test_the_separator_that_is_said_for_excel_is_no_header(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("sep=;\r\nprompt;completion;label\r\nWhy, then?;So.;true\r\n", encoding="utf-8")
    assert look(file).delimiter == ";"
    assert items(file) == [Record(3, {"prompt": "Why, then?", "completion": "So.", "label": "true"})]
