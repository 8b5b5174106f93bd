"""Stores of what was read: found again, made anew when the source changes, and not kept for ever."""

import os
import time
from pathlib import Path

import pytest

from kto_tui.choices import DataChoices
from kto_tui.data import scan
from kto_tui.data.store import Store
from tests.tiny import make_rows, write_jsonl


def read(file: Path, **choices: str) -> tuple[Store, int]:
    """The store, and how often progress was told: never where it was there already."""
    told: list[object] = []
    return scan.scan(file, DataChoices(**choices), told.append), len(told)  # type: ignore[arg-type]


def test_a_source_is_read_once_until_it_changes(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", make_rows(10))
    first, told = read(file)
    assert told > 0
    again, told = read(file)
    assert (list(again), told) == (list(first), 0)
    write_jsonl(file, make_rows(11))
    again, told = read(file)
    assert (len(again), told > 0) == (11, True)
    assert read(file, encoding="utf-8")[1] > 0


def test_only_the_stores_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(scan, "KEPT_STORES", 2)
    folder = home / "cache" / "data"
    files = [write_jsonl(tmp_path / f"{number}.jsonl", make_rows(4 + number)) for number in range(3)]
    for age, file in enumerate(reversed(files[:2])):
        past = time.time() - 1000 * (age + 1)
        os.utime(read(file)[0].path, (past, past))
    stale, young = folder / ".a.arrow.x", folder / ".b.arrow.y"
    for path, age in ((stale, 100_000), (young, 10)):
        path.write_bytes(b"half a store")
        os.utime(path, (time.time() - age, time.time() - age))
    assert read(files[0])[1] == 0  # used, so it is the younger of the two now
    read(files[2])
    assert {path.suffix for path in folder.glob("[!.]*")} == {".arrow", ".json"}
    assert len(list(folder.glob("[!.]*"))) == 4
    assert (stale.exists(), young.exists()) == (False, True)
    assert [read(file)[1] > 0 for file in (files[0], files[2], files[1])] == [False, False, True]


@pytest.mark.parametrize("damage", [b"", b"no Arrow", None])
def test_a_damaged_store_is_made_again(damage: bytes | None, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", make_rows(10))
    path = read(file)[0].path
    if damage is None:
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(damage)
    store, told = read(file)
    assert (len(store), told > 0) == (10, True)


def test_rows_and_facts_are_those_of_the_source(tmp_path: Path) -> None:
    rows = make_rows(3000, chat=False)
    store, _ = read(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert [row.prompt for row in store] == [row["prompt"] for row in rows]
    assert [store.row(number).completion for number in (1, 1024, 1025, 3000)] == [
        rows[number - 1]["completion"] for number in (1, 1024, 1025, 3000)
    ]
    assert store.facts().columns().prompt_characters.tolist() == [len(str(row["prompt"])) for row in rows]
    for number in (0, 3001):
        with pytest.raises(IndexError):
            store.row(number)
