"""Several programs that read a file side by side find what one finds, in the same order."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data import lanes
from kto_tui.data.containers.stream import Source
from kto_tui.data.lane import Stretch, _Lines
from kto_tui.data.scan import scan
from kto_tui.data.store import Store
from kto_tui.errors import UserError


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lanes") / "file"


@given(st.text(alphabet="a\n\r", max_size=60), st.integers(1, 20))
def test_every_line_belongs_to_one_stretch(scratch: Path, text: str, size: int) -> None:
    content = text.encode()
    scratch.write_bytes(content)
    found, ends = [], 0
    for begin in range(0, len(content), size):
        with Source(scratch) as source:
            lines = _Lines(source, Stretch(0, os.fsencode(scratch), begin, min(begin + size, len(content))))
            found.append(b"".join(lines))
            ends += lines.count
    assert b"".join(found) == content
    assert ends == content.count(b"\n")
    assert all(piece.endswith(b"\n") for piece in [piece for piece in found if piece][:-1])


def row(number: int, label: object) -> str:
    prompt = [{"role": "user", "content": f"Question {number}? ø"}]
    completion = [{"role": "assistant", "content": f"Answer {number % 7}" * (number % 5)}]
    return json.dumps({"prompt": prompt, "completion": completion, "label": label}, ensure_ascii=False)


ROWS = [row(number, ("up", "down", None, 1, "meh")[number % 5]) for number in range(60)]
ROWS[7:7] = ["", "not JSON", row(7, "late") + " trailing", '{"prompt": "plain", "completion": "text", "label": "up"}']
TEXTS = {
    "lines": "\n".join(ROWS) + "\n",
    "no line end at the end": "\n".join(ROWS),
    "line ends of Windows": "\r\n".join(ROWS),
    "a byte order mark": "\ufeff" + "\n".join(ROWS),
    "one long line": "\n".join([*ROWS[:5], row(1, "x" * 30_000), *ROWS[5:]]),
}


def stored(store: Store) -> tuple[object, ...]:
    facts = store.facts()
    columns = facts.columns()
    return (
        list(store),
        [getattr(columns, name).tolist() for name in columns.__struct_fields__],
        (facts.labels, facts.values, store.about.records),
    )


@pytest.mark.parametrize("name", TEXTS)
def test_lanes_store_what_one_program_stores(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in ("a.jsonl", "b.jsonl"):
        (folder / shard).write_text(TEXTS[name], encoding="utf-8", newline="")
    source = folder if name == "lines" else folder / "a.jsonl"
    alone = stored(scan(source, DataChoices(), lambda _: None))

    monkeypatch.setenv("KTO_TUI_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(lanes, "LEAST_BYTES", 0)
    monkeypatch.setattr(lanes, "STRETCH_BYTES", 1500)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    told = []
    together = scan(source, DataChoices(), told.append)
    assert stored(together) == alone
    assert together.about.records > 60
    assert (told[-1].share, told[-1].rows) == (1.0, len(together))


def test_a_file_that_changes_under_the_lanes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(TEXTS["lines"] * 20, encoding="utf-8")
    monkeypatch.setattr(lanes, "LEAST_BYTES", 0)
    monkeypatch.setattr(lanes, "STRETCH_BYTES", 20_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)

    def grow(_: object) -> None:
        with file.open("a") as stream:
            stream.write(ROWS[0] + "\n")

    with pytest.raises(UserError, match="changed while it was read"):
        scan(file, DataChoices(), grow)
    assert not list((tmp_path / "cache" / "data").iterdir())
