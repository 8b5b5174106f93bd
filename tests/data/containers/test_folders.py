"""Folders: shards in natural order, the hub's configs and splits, saved data sets; what is not read is named."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kto_tui.data.containers.reader import Reader
from kto_tui.data.records import Record
from kto_tui.errors import UserError
from tests.data.containers.reading import PACK, items, look, values


def rows(*names: str) -> str:
    return "".join(json.dumps({"prompt": name, "label": True}) + "\n" for name in names)


def put(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def fill(folder: Path, names: str) -> Path:
    """A JSONL file of one record for each name, which says where it comes from."""
    for name in names.split():
        put(folder, **{name.replace("/", "__"): rows(name)})
    return folder


def prompts(folder: Path, **choices: object) -> list[str]:
    return [str(value["prompt"]) for value in values(folder, **choices)]


def refusal(folder: Path, **choices: object) -> str:
    with pytest.raises(UserError) as caught:
        look(folder, **choices)
    return str(caught.value)


def test_shards_are_read_in_natural_order_and_records_know_their_file(tmp_path: Path) -> None:
    fill(tmp_path, "part-10.jsonl part-2.jsonl part-1.jsonl more/part-3.jsonl")
    sniffed = look(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in sniffed.files] == [
        "more/part-3.jsonl", "part-1.jsonl", "part-2.jsonl", "part-10.jsonl"
    ]  # fmt: skip
    assert (sniffed.kind, sniffed.title) == ("folder", "Folder of 4 files: JSON lines, UTF-8")
    assert [(item.file, item.line) for item in items(tmp_path)] == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_compressions_may_be_mixed(tmp_path: Path) -> None:
    for number, (name, pack) in enumerate(PACK.items()):
        (tmp_path / f"{number}.jsonl{name}").write_bytes(pack(rows(name or "plain").encode()))
    shutil.move(tmp_path / "0.jsonl", tmp_path / "0.json")
    for file in tmp_path.iterdir():
        file.rename(file.with_suffix(".jsonl"))
    assert prompts(tmp_path) == ["plain", "gzip", "zstd"]
    sniffed = look(tmp_path)
    assert (sniffed.title, sniffed.compression) == ("Folder of 3 files: JSON lines", "")


def test_each_shard_has_its_own_header_and_encoding(tmp_path: Path) -> None:
    put(tmp_path, a_dot_csv="prompt,label\nä,1\n".encode("utf-16"), b_dot_csv="label;prompt\n0;ö\n".encode())
    assert values(tmp_path) == [{"prompt": "ä", "label": "1"}, {"label": "0", "prompt": "ö"}]


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, README_dot_md="# Rows", _dot_git__config="x", _SUCCESS="", dataset_infos_dot_json="{}")
    put(tmp_path, notes_dot_txt="a, b\nc, d\n", z_dot_jsonl="", rows_dot_jsonl=rows("a"))
    sniffed = look(tmp_path)
    assert [file.name for file in sniffed.files] == ["rows.jsonl"]
    for name in (".git", "README.md", "_SUCCESS", "dataset_infos.json", "notes.txt"):
        assert name in sniffed.because
    assert "z.jsonl (empty)" in sniffed.because


def test_shards_need_no_extension(tmp_path: Path) -> None:
    assert prompts(fill(tmp_path, "shard-0 shard-1")) == ["shard-0", "shard-1"]


def test_links_to_files_are_followed_as_the_hub_cache_needs(tmp_path: Path) -> None:
    """Its snapshots hold nothing else."""
    fill(tmp_path, "blobs/0a1b")
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").symlink_to("../../blobs/0a1b")
    assert prompts(snapshot) == ["blobs/0a1b"]


SPLITS = [
    # files, choices, what is read
    ("train-00000-of-00002.jsonl train-00001-of-00002.jsonl test-00000-of-00001.jsonl", {},
     "train-00000-of-00002.jsonl train-00001-of-00002.jsonl"),
    ("train-00000-of-00001.jsonl test-00000-of-00001.jsonl", {"split": "test"}, "test-00000-of-00001.jsonl"),
    ("data/train-00000-of-00001-0a1b2c.jsonl data/test.jsonl", {}, "data/train-00000-of-00001-0a1b2c.jsonl"),
    ("data/train_prefs-00000-of-00001.jsonl data/test_prefs-00000-of-00001.jsonl", {"split": "test_prefs"},
     "data/test_prefs-00000-of-00001.jsonl"),
    ("train.jsonl heldout.jsonl", {}, "train.jsonl"),
    ("my_train_1.jsonl my_train_2.jsonl my-dev.jsonl", {}, "my_train_1.jsonl my_train_2.jsonl"),
    ("train.jsonl dev.jsonl", {"split": "validation"}, "dev.jsonl"),
    ("train/0000.jsonl train/0001.jsonl test/0000.jsonl", {}, "train/0000.jsonl train/0001.jsonl"),
    ("default/train/0000.jsonl default/test/0000.jsonl", {}, "default/train/0000.jsonl"),
    ("en/train-00000-of-00001.jsonl de/train-00000-of-00001.jsonl", {"config": "de"}, "de/train-00000-of-00001.jsonl"),
    ("en/train.jsonl de/train.jsonl", {}, "de/train.jsonl en/train.jsonl"),
    ("en/train.jsonl default/train.jsonl", {"config": "default"}, "default/train.jsonl"),
    ("en/train.jsonl en/test.jsonl", {}, "en/train.jsonl"),
    ("test.jsonl", {}, "test.jsonl"),
    ("part-00000-of-00002.jsonl part-00001-of-00002.jsonl", {}, "part-00000-of-00002.jsonl part-00001-of-00002.jsonl"),
    ("a.jsonl b.jsonl", {"split": "train"}, "a.jsonl b.jsonl"),
    ("latest.jsonl contest.jsonl", {}, "contest.jsonl latest.jsonl"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "choices", "read"), SPLITS)
def test_splits_by_file_names(files: str, choices: dict[str, object], read: str, tmp_path: Path) -> None:
    fill(tmp_path, files)
    put(tmp_path, README_dot_md="---\nlicense: mit\n---\n# A data set")
    assert prompts(tmp_path, **choices) == read.split()


def test_the_split_that_was_taken_is_said(tmp_path: Path) -> None:
    because = look(fill(tmp_path, "train.jsonl test.jsonl dev.jsonl more.jsonl")).because
    assert because.startswith("split train, as the file names say; the splits validation, test are not read")
    assert "not read: more.jsonl" in because


@pytest.mark.parametrize(
    ("files", "choices", "message"),
    [
        ("test.jsonl dev.jsonl", {}, "several splits. Choose one of test, validation"),
        ("train.jsonl test.jsonl", {"split": "tests"}, "no split 'tests'. Choose one of test, train"),
        ("en/train.jsonl de/train.jsonl", {"config": "fr"}, "no config 'fr'. Choose one of de, en"),
        ("a.jsonl b.jsonl", {"split": "test"}, "no split 'test'. Choose one of train"),
        ("a.jsonl b.jsonl", {"config": "en"}, "no config 'en'. Leave out the config"),
    ],
)
def test_splits_that_are_not_clear(files: str, choices: dict[str, object], message: str, tmp_path: Path) -> None:
    assert message in refusal(fill(tmp_path, files), **choices)


CARD = """---
license: mit
dataset_info: {broken: [
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: english/*.jsonl
  - split: test
    path: [other/en.jsonl]
- config_name: de
  data_files: "german/**/rows-[0-9].jsonl"
- config_name: fr
  data_dir: french
- config_name: it
  data_files: italian/gone.jsonl
tags: [kto]
---
# Rows
"""
CARD_FILES = (
    "english/a.jsonl english/b.jsonl english/x/c.jsonl other/en.jsonl german/1/2/rows-1.jsonl german/rows-2.jsonl "
    "french/train.jsonl french/test.jsonl"
)
CARDS = [
    ({}, "english/a.jsonl english/b.jsonl"),
    ({"split": "test"}, "other/en.jsonl"),
    ({"config": "de"}, "german/1/2/rows-1.jsonl german/rows-2.jsonl"),
    ({"config": "fr"}, "french/train.jsonl"),
    ({"config": "fr", "split": "test"}, "french/test.jsonl"),
]


@pytest.mark.parametrize(("choices", "read"), CARDS)
def test_configs_of_the_readme(choices: dict[str, object], read: str, tmp_path: Path) -> None:
    put(fill(tmp_path, CARD_FILES), README_dot_md=CARD)
    assert prompts(tmp_path, **choices) == read.split()
    assert "as README.md says" in look(tmp_path, **choices).because


def test_a_config_whose_files_are_not_here(tmp_path: Path) -> None:
    put(fill(tmp_path, CARD_FILES), README_dot_md=CARD)
    assert "not here (italian/gone.jsonl). Download the whole" in refusal(tmp_path, config="it")
    assert "Choose one of de, en, fr, it" in refusal(tmp_path, config="es")


def shard(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = pa.table({"prompt": list(names), "label": [True] * len(names)})
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, found.schema) as writer:
        writer.write(found)


def save(folder: Path, *shards: tuple[str, ...]) -> None:
    """As ``Dataset.save_to_disk`` writes it."""
    files = [f"data-{number:05}-of-{len(shards):05}.arrow" for number in range(len(shards))]
    for name, prompts_ in zip(files, shards, strict=True):
        shard(folder / name, *prompts_)
    put(folder, state_dot_json=json.dumps({"_data_files": [{"filename": name} for name in files], "_split": None}))
    put(folder, dataset_info_dot_json="{}")


def test_a_saved_data_set(tmp_path: Path) -> None:
    save(tmp_path, ("a", "b"), ("c",))
    sniffed = look(tmp_path)
    assert (sniffed.kind, sniffed.title, sniffed.confidence) == ("saved", "Saved data set, 2 shards", 1.0)
    assert prompts(tmp_path) == ["a", "b", "c"]
    assert [(item.file, item.line) for item in items(tmp_path)] == [(0, 1), (0, 2), (1, 1)]


def test_a_saved_data_set_with_splits(tmp_path: Path) -> None:
    put(tmp_path, dataset_dict_dot_json='{"splits": ["train", "test"]}')
    save(tmp_path / "train", ("a",))
    save(tmp_path / "test", ("b",))
    assert prompts(tmp_path, split="test") == ["b"]
    assert "several splits. Choose one of train, test" in refusal(tmp_path)
    assert "no split 'dev'. Choose one of train, test" in refusal(tmp_path, split="dev")
    assert "no splits. Leave out" in refusal(tmp_path / "test", split="dev")
    put(tmp_path, dataset_dict_dot_json='{"splits": ["train"]}')
    assert prompts(tmp_path) == ["a"]


def test_what_the_datasets_library_saves(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the datasets library is an extra")
    code = (
        "import sys; from datasets import Dataset, DatasetDict\n"
        "data = Dataset.from_dict({'prompt': list('abcde'), 'label': [True] * 5})\n"
        "data.select([4, 0, 2]).save_to_disk(sys.argv[1] + '/one', num_shards=2)\n"
        "DatasetDict(train=data, test=data.select([1])).save_to_disk(sys.argv[1] + '/two')\n"
        "data.to_parquet(sys.argv[1] + '/three.parquet'); data.to_json(sys.argv[1] + '/four.jsonl')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    assert prompts(tmp_path / "one") == ["e", "a", "c"]
    assert prompts(tmp_path / "two", split="test") == ["b"]
    assert prompts(tmp_path / "three.parquet") == prompts(tmp_path / "four.jsonl") == list("abcde")


def test_a_folder_of_parquet(tmp_path: Path) -> None:
    for number in range(3):
        pq.write_table(pa.table({"prompt": [f"{number}"]}), tmp_path / f"train-{number:05}-of-00003.parquet")
    assert look(tmp_path).title == "Folder of 3 files: Parquet"
    assert prompts(tmp_path) == ["0", "1", "2"]


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    put(tmp_path, a_dot_jsonl=rows("a"), b_dot_jsonl=gzip.compress(rows(*"bcd").encode())[:-4])
    found: list[tuple[int, int]] = []
    with pytest.raises(UserError, match=r"b\.jsonl:3: The gzip data end in the middle; it could be read up to line 3"):
        found.extend((item.file, item.line) for item in Reader(look(tmp_path)))
    assert found == [(0, 1), (1, 1), (1, 2), (1, 3)]


def test_too_many_files_are_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kto_tui.data.containers.listing.MOST_FILES", 3)
    assert "more than 3 files" in refusal(fill(tmp_path, "a.jsonl b.jsonl c.jsonl d.jsonl"))


def test_a_thousand_shards_are_sniffed_quickly(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.jsonl").write_text(rows(str(number)) * 20)
    sniffed = look(tmp_path)
    assert [file.stem for file in sniffed.files] == [str(number) for number in range(1000)]
    assert sum(isinstance(item, Record) for item in items(tmp_path)) == 20_000
