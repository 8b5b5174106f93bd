"""Which files of a data set's repository are fetched, beside what the libraries of others make of the same names."""

import json
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hub.data_files import data_files, dataset_id, read_configs
from kto_tui.repository import SAVED, UnknownPartError

CONFIGS = yaml.safe_load("""
- config_name: en
  data_files:
  - {split: train, path: en/train-*}
  - {split: dev, path: [en/dev.jsonl, "en/more/**"]}
- config_name: de
  data_dir: ./de/
- {config_name: 2024, data_files: "2024/*.csv"}
""")
OTHER = {"config_name": "b", "data_files": "b.json"}
MIXED = [
    "README.md", ".gitattributes", "en/train-0.parquet", "en/train-1.parquet", "en/dev.jsonl", "en/more/a/b.json.gz",
    "en/other.parquet", "de/train.csv", "de/test.csv.zst", "2024/a.csv", "2024/notes.txt", "2024/deep/b.csv",
]  # fmt: skip
SAVED_FOLDER = ["dataset_dict.json", "train/data-00000-of-00001.arrow", "train/dataset_info.json", "train/state.json"]
SAVED_FOLDER += [name.replace("train", "test") for name in SAVED_FOLDER[1:]]


def chosen(names: list[str], configs: object = None, config: str | None = None, split: str | None = None) -> set[str]:
    return set(data_files(names, read_configs(configs), config, split))


@pytest.mark.parametrize(
    ("config", "split", "taken"),
    [
        ("en", "train", "en/train-0.parquet en/train-1.parquet"),
        ("en", "dev", "en/dev.jsonl en/more/a/b.json.gz"),
        ("en", None, "en/train-0.parquet en/train-1.parquet en/dev.jsonl en/more/a/b.json.gz"),
        ("de", None, "de/train.csv de/test.csv.zst"),
        ("de", "test", "de/test.csv.zst"),
        ("2024", "train", "2024/a.csv"),
    ],
)
def test_the_readme_says_where_configs_and_splits_are(config: str, split: str | None, taken: str) -> None:
    assert chosen(MIXED, CONFIGS, config, split) == {"README.md", *taken.split()}


@pytest.mark.parametrize(
    ("others", "config", "traits"),
    [([], "only", {}), ([OTHER], "default", {}), ([OTHER], "x", {"default": True})],
)
def test_the_default_config_need_not_be_named(others: list[object], config: str, traits: dict[str, bool]) -> None:
    configs = [*others, {"config_name": config, "data_files": "a.json"} | traits]
    assert chosen(["a.json", "b.json"], configs) == chosen(["a.json", "b.json"], configs, config) == {"a.json"}


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("a.parquet b.jsonl c.json d.csv e.tsv f.arrow g.jsonl.gz h.csv.zst README.md I.JSONL", None),
        ("rows.jsonl rows.py LICENSE img.png data.zip a.txt model.safetensors docs/README.md x.tar.gz", "rows.jsonl"),
        ("rows.jsonl dataset_infos.json config.json state.json .cache/a.json __x/b.json a/.b/c.json", "rows.jsonl"),
        (" ".join(SAVED_FOLDER), None),
        ("sets/dataset_dict.json sets/test/data.arrow sets/test/state.json other/state.json a/b.jsonl",
         "sets/dataset_dict.json sets/test/data.arrow sets/test/state.json a/b.jsonl"),
    ],
)  # fmt: skip
def test_only_what_can_be_data_is_taken(names: str, taken: str | None) -> None:
    assert chosen(names.split()) == set((taken or names).split())


@pytest.mark.parametrize("folder", [".", "./", ""])
def test_a_config_may_be_the_whole_repository(folder: str) -> None:
    assert chosen(["a.json", "b/c.json"], [{"config_name": "x", "data_dir": folder}]) == {"a.json", "b/c.json"}


def test_the_readme_comes_first() -> None:
    assert data_files(["A.json", "README.md"], [], None, None) == ["README.md", "A.json"]


@pytest.mark.parametrize("names", [[], ["README.md"], ["rows.py", "README.md"], ["dataset_infos.json", "a.zip"]])
def test_without_data_there_is_nothing_whatever_is_asked(names: list[str]) -> None:
    for configs, config, split in [(None, None, None), (CONFIGS, "fr", "train"), (None, "fr", "test")]:
        assert chosen(names, configs, config, split) == set()
    assert chosen(["en/x.zip", *MIXED[:2], "z.json"], CONFIGS, "en", "train") == set(), "the part asked for has none"


UNKNOWN = {
    "several": (MIXED, CONFIGS, None, None, ("config", None, ("2024", "de", "en"))),
    "no such config": (MIXED, CONFIGS, "fr", None, ("config", "fr", ("2024", "de", "en"))),
    "no such split": (MIXED, CONFIGS, "en", "test", ("split", "test", ("dev", "train"))),
    "no such folder": (["a/a.json", "b/a.json", "train/b.json"], None, "fr", None, ("config", "fr", ("a", "b"))),
    "no folders": (["a.json"], None, "fr", None, ("config", "fr", ())),
    "one unnamed split": (["a.json"], None, None, "test", ("split", "test", ("train",))),
    "converted": (["a/train/0000.parquet", "b/train/0000.parquet"], None, None, None, ("config", None, ("a", "b"))),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_there_is_told_with_what_is(name: str) -> None:
    names, configs, config, split, told = UNKNOWN[name]
    with pytest.raises(UnknownPartError) as caught:
        data_files(names, read_configs(configs), config, split)
    assert (caught.value.part, caught.value.asked, caught.value.known) == told


def test_a_folder_can_be_asked_for_like_a_config() -> None:
    names = ["helpful/train.jsonl.gz", "helpful/test.jsonl.gz", "harmless/train.jsonl.gz"]
    assert chosen(names) == set(names)
    assert chosen(names, config="default") == set(names)
    assert chosen(names, config="helpful", split="test") == {names[1]}


def test_the_hubs_own_conversion_says_its_parts_by_folders() -> None:
    names = ["default/train_prefs/0000.parquet", "default/partial-train_sft/0000.parquet", "x/train/0000.parquet"]
    assert chosen([*names, ".gitattributes"]) == set(names[:2])
    assert chosen(names, config="default", split="train_sft") == {names[1]}
    assert chosen(names, config="x") == {names[2]}


STRANGE: list[object] = [
    None, "en", 3, {"config_name": "en"}, [None], ["en"], [{}], [{"config_name": None}], [{"config_name": ["en"]}],
    [{"config_name": "en", "data_files": 3}], [{"config_name": "en", "data_files": {"train": "a.json"}}],
    [{"config_name": "en", "data_files": [{"split": "train"}]}], [{"config_name": "en", "default": "maybe"}],
]  # fmt: skip


@pytest.mark.parametrize("configs", STRANGE)
def test_a_strange_readme_is_as_if_it_said_nothing(configs: object) -> None:
    assert chosen(["a.json", "b.csv"], configs) == {"a.json", "b.csv"}


# Beside fsspec's own globs, on real files.

TREE = [
    "a.json", "b.csv", "data/a.json", "data/train-00000-of-00002.json", "data/train-00001-of-00002.json",
    "data/deep/a.json", "data/deep/er/a.json", "da/a.json", "x[1].json", "1.json", "2.json", "A.json",
]  # fmt: skip
GLOBS = [
    "a.json", "./a.json", "*.json", "**/*.json", "**", "data/*", "data/**", "data/**/*", "data/**/a.json", "**/deep/**",
    "**/deep/*", "data/train-*", "data/train-?????-of-00002.json", "da*/*.json", "[12].json", "[!1].json", "[a-b].*",
    "x[[]1].json", "*/*", "*/*/*", "**/**/a.json", "data//a.json", "d?/a.json", "nothing/*", "*.JSON", "[z-a].json",
    "[", "",
]  # fmt: skip


@pytest.mark.parametrize("glob", GLOBS)
def test_wildcards_mean_what_they_mean_elsewhere(glob: str, tmp_path: Path) -> None:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = fsspec.filesystem("file")
    try:
        theirs = {Path(found).relative_to(tmp_path).as_posix() for found in files.glob(f"{tmp_path}/{glob}")}
    except Exception:  # noqa: BLE001 - a range that is none: fsspec hands it to re
        theirs = set()
    assert theirs or glob in {"data//a.json", "nothing/*", "*.JSON", "[z-a].json", "[", ""}
    assert chosen(TREE, [{"config_name": "x", "data_files": glob}]) == theirs & set(TREE)


@given(st.text("ab*?[]!-/.", max_size=12), st.lists(st.text("ab/.", max_size=8), max_size=5))
def test_no_pattern_of_a_readme_breaks_it(glob: str, names: list[str]) -> None:
    listing = [f"{name}.json" for name in names]
    assert chosen(listing, [{"config_name": "x", "data_files": glob}]) <= set(listing)


def test_a_hostile_pattern_takes_no_time() -> None:
    names = ["/".join(["a" * 100] * 20) + ".json"]
    for glob in ("**/a*/" * 30 + "b", "*a" * 60 + "/b"):
        assert chosen(names, [{"config_name": "x", "data_files": glob}]) == set()


# Beside the splits that datasets makes of the same folders.

LISTINGS = [
    ["train.jsonl", "test.jsonl"],
    ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/train_sft-00000-of-00001.parquet"],
    ["data/odd.name-00000-of-00001.parquet"],
    ["data/train.csv", "data/dev.csv", "data/eval.csv"],
    ["test/train_v1.jsonl", "train/x.jsonl"],
    ["training/a.json", "validation/a.json", "testing/a.json", "testing/deep/b.json"],
    ["my-train-file_1.jsonl", "my.valid.jsonl", "test1.jsonl"],
    ["rows.jsonl", "more/rows.jsonl"],
    ["trainer.jsonl", "latest.jsonl", "contest/x.jsonl"],
    ["en_train/a.json", "en test/b.json"],
    ["evaluation-set.tsv", "val.tsv"],
]
ASK_DATASETS = """
import json, os, pathlib, sys, tempfile
from datasets import config
from datasets.data_files import DataFilesDict, get_data_patterns
print(config.DATASETDICT_JSON_FILENAME, config.DATASET_INFO_FILENAME, config.DATASET_STATE_JSON_FILENAME)
for names in json.loads(sys.argv[1]):
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        found = DataFilesDict.from_patterns(get_data_patterns(folder), base_path=folder)
        print(json.dumps({str(split): [os.path.relpath(file, os.path.realpath(folder)) for file in files]
                          for split, files in found.items()}))
"""


def test_splits_are_those_that_datasets_finds() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_DATASETS, json.dumps(LISTINGS)], capture_output=True, text=True, check=True
    )
    saved, *lines = asked.stdout.splitlines()
    assert set(saved.split()) == SAVED
    for names, line in zip(LISTINGS, lines, strict=True):
        splits = json.loads(line)
        assert {split: sorted(chosen(names, split=split)) for split in splits} == {
            split: sorted(files) for split, files in splits.items()
        }
        assert chosen(names) == set(names), "nothing is left out where no split is asked for"


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("trl-lib/kto-mix-14k", "trl-lib/kto-mix-14k"),
        (" org/name ", "org/name"),
        ("https://huggingface.co/datasets/org/name", "org/name"),
        ("huggingface.co/datasets/org/name/viewer/default/train?row=3", "org/name"),
        ("https://hf.co/datasets/org/name/tree/main/data", "org/name"),
        ("hf://datasets/org/name", "org/name"),
        ("https://huggingface.co/org/model", None),
        ("./org/name", None), ("/org/name", None), ("~/name", None), ("name", None), ("a/b/c", None), ("org/", None),
        ("data/train.jsonl", None), ("data/train.csv.gz", None), ("data/rows.parquet", None),
        ("", None), ("a b/c", None),
    ],
)  # fmt: skip
def test_an_id_is_told_from_a_path(text: str, means: str | None) -> None:
    assert dataset_id(text) == means


def test_what_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dataset_id("org/name") == "org/name"
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert dataset_id("org/name") is None
