"""What is downloaded of a data set is what is read of the folder it came to lie in, also when a part of it is here."""

import contextlib
import io
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.containers.sniff import sniff
from kto_tui.errors import UserError
from kto_tui.hub.data_files import data_files, read_configs
from kto_tui.repository import CARD, SAVED, UnknownPartError, data_among
from tests.data.containers.test_folders import save

ROWS = pa.table({"prompt": ["a", "b"], "label": [True, False]})


def content(name: str, configs: object) -> bytes:
    if name == CARD:
        return f"---\n{yaml.safe_dump({'configs': configs})}---\n# Rows\n".encode()
    if name.endswith(".parquet"):
        pq.write_table(ROWS, out := io.BytesIO())
        return out.getvalue()
    return b"prompt,label\na,1\nb,0\n" if name.endswith(".csv") else b'{"prompt": "a", "label": true}\n' * 2


def lay_out(folder: Path, names: list[str], configs: object) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content(name, configs))
    return folder


def read(folder: Path, config: str | None, split: str | None) -> list[str] | None:
    """What the folder reader reads; None where it refuses."""
    with contextlib.suppress(UserError):
        files = sniff(folder, DataChoices(config=config, split=split)).files
        return sorted(file.relative_to(folder).as_posix() for file in files)
    return None


def fetched(names: list[str], configs: object, config: str | None, split: str | None) -> list[str] | None:
    """What is downloaded; None where the part is unknown."""
    with contextlib.suppress(UnknownPartError):
        return data_files(names, read_configs(configs), config, split)
    return None


def splits_of(names: list[str], configs: object, config: str | None) -> tuple[str, ...]:
    with pytest.raises(UnknownPartError) as caught:
        data_files(names, read_configs(configs), config, "no such split")
    return caught.value.known


def compare(names: list[str], configs: object, config: str | None, split: str | None) -> list[str] | None:
    """Check one choice on the whole repository and on what is downloaded of it; what was read."""
    with tempfile.TemporaryDirectory() as here:
        whole = lay_out(Path(here, "whole"), [*names, *[CARD] * bool(configs)], configs)
        listing = [path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()]
        chosen = fetched(listing, configs, config, split)
        if not chosen:
            assert read(whole, config, split) is None
            return None
        part = lay_out(Path(here, "part"), chosen, configs)
        found = read(part, config, split)
        assert found == read(whole, config, split)
        if split is None:  # all are downloaded, of which one is read
            known = splits_of(listing, configs, config)
            usual = "train" if "train" in known else known[0] if len(known) == 1 else None
            chosen = usual and fetched(listing, configs, config, usual)
        assert found == (sorted(data_among(chosen)) if chosen else None)
        return found


README = [
    {"config_name": "en", "default": True, "data_files": [{"split": "train", "path": "en/train-*"},
     {"split": "dev", "path": ["en/dev.csv", "more/**"]}]},
    {"config_name": "de", "data_dir": "de"},
    {"config_name": 2024, "data_files": "2024/*.csv"},
]  # fmt: skip
WITH_README = (
    "en/train-00000-of-00002.csv en/train-00001-of-00002.csv en/dev.csv en/other.csv more/a/b.csv de/train.csv "
    "de/test.csv de/rest.csv 2024/a.csv 2024/deep/b.csv __x/a.csv cover.png"
)
SHARDS = (
    "data/train_sft-00000-of-00002.parquet data/train_sft-00001-of-00002.parquet data/test_sft-00000-of-00001.parquet"
)
FOLDERS = "helpful/train.jsonl helpful/test.jsonl harmless/train.jsonl red/rest.jsonl dataset_infos.json"
CONVERSION = (
    "default/train/0000.parquet default/train/0001.parquet default/test/0000.parquet x/partial-train_sft/0000.parquet"
)
LAYOUTS: list[tuple[str, object, str | None, str | None, str | None]] = [
    # names, configs of the README, config, split, what is read
    ("rows.jsonl more/rows.jsonl", None, None, "train", "more/rows.jsonl rows.jsonl"),
    ("rows.jsonl more/rows.jsonl", None, None, "test", None),
    ("train.jsonl rest.jsonl _SUCCESS", None, None, None, "train.jsonl"),
    ("train.csv dev.csv test.csv", None, None, "validation", "dev.csv"),
    ("valid.csv test.csv", None, None, None, None),
    ("test/train_v1.jsonl train/x.jsonl", None, None, "test", "test/train_v1.jsonl"),
    (SHARDS, None, None, "test_sft", "data/test_sft-00000-of-00001.parquet"),
    (SHARDS, None, None, "train_sft", " ".join(SHARDS.split()[:2])),
    (SHARDS, None, None, None, None),
    (FOLDERS, None, None, "train", "harmless/train.jsonl helpful/train.jsonl"),
    (FOLDERS, None, "helpful", "test", "helpful/test.jsonl"),
    (FOLDERS, None, "red", "train", "red/rest.jsonl"),
    (FOLDERS, None, "blue", None, None),
    (CONVERSION, None, None, None, "default/train/0000.parquet default/train/0001.parquet"),
    (CONVERSION, None, "x", "train_sft", "x/partial-train_sft/0000.parquet"),
    (CONVERSION, None, "y", None, None),
    (WITH_README, README, None, None, "en/train-00000-of-00002.csv en/train-00001-of-00002.csv"),
    (WITH_README, README, None, "dev", "en/dev.csv more/a/b.csv"),
    (WITH_README, README, "de", "test", "de/test.csv"),
    (WITH_README, README, "2024", "train", "2024/a.csv"),
    (WITH_README, README, "2024", "test", None),
    (WITH_README, README[1:], None, None, None),
    ("_rows.jsonl LICENSE.json", None, None, None, "LICENSE.json _rows.jsonl"),
    ("a.ndjson .cache/b.jsonl __pycache__/c.json config.json", None, None, None, "a.ndjson"),
]


@pytest.mark.parametrize(("names", "configs", "config", "split", "taken"), LAYOUTS)
def test_what_is_downloaded_is_what_is_read(
    names: str, configs: object, config: str | None, split: str | None, taken: str | None
) -> None:
    assert compare(names.split(), configs, config, split) == (taken and taken.split())


FOLDER = st.sampled_from(["data", "en", "train", "test set", "default", "__x", ".git", "[a]", "de/dev"])
STEM = st.sampled_from("train test dev rows train-00000-of-00001 x_sft-00000-of-00001 my.eval latest _x README".split())
NAME = st.builds(lambda folders, stem: "/".join([*folders, f"{stem}.jsonl"]), st.lists(FOLDER, max_size=2), STEM)
SPLIT = st.sampled_from(["train", "test", "validation", "x_sft", "rows"])
CONFIG = st.sampled_from(["default", "en", "data", "[a]", "test set"])
GLOB = st.sampled_from(["**", "*.jsonl", "**/*.jsonl", "*/train*", "./en/**", "data/*", "[a-t]*/*", "**/dev/*", "z/*"])
ENTRY = st.fixed_dictionaries(
    {"config_name": CONFIG},
    optional={
        "default": st.booleans(),
        "data_dir": st.sampled_from(["", ".", "en", "./data/", "z"]),
        "data_files": GLOB | st.lists(GLOB | st.fixed_dictionaries({"split": SPLIT, "path": GLOB | st.lists(GLOB)})),
    },
)


@given(
    st.lists(NAME, unique=True, min_size=1, max_size=6), st.lists(ENTRY, max_size=3), CONFIG | st.none(),
    SPLIT | st.none(),
)  # fmt: skip
def test_what_is_downloaded_is_what_is_read_whatever_the_layout(
    names: list[str], configs: list[object], config: str | None, split: str | None
) -> None:
    compare(names, configs, config, split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_of_a_saved_data_set(split: str, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    save(whole / "train", ("a",), ("b",))
    save(whole / "test", ("c",))
    (whole / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    names = [path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()]
    for name in (chosen := data_files(names, [], None, split)):
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / name, part / name)
    arrow = sorted(name for name in chosen if Path(name).name not in SAVED)
    assert read(part, None, split) == read(whole, None, split) == arrow
    assert {Path(name).parent.name for name in arrow} == {split}


def test_of_a_part_that_is_not_here_nothing_is_read(tmp_path: Path) -> None:
    part = data_files([*WITH_README.split(), CARD], read_configs(README), "en", "dev")
    lay_out(tmp_path, part, README)
    assert read(tmp_path, "en", "dev") == ["en/dev.csv", "more/a/b.csv"]
    with pytest.raises(UserError, match=r"split train that are not here \(en/train-\*\)\. Download the whole data set"):
        sniff(tmp_path, DataChoices(config="en"))
