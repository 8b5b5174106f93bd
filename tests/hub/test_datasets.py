"""Data sets from the stand-in hub: the same download program, for the files that are data."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kto_tui.cli import main
from kto_tui.hub.cache import cached_dataset, cached_models, folder_of
from kto_tui.hub.data_files import CONVERTED
from kto_tui.hub.download import Download
from kto_tui.hub.selection import MARGIN_BYTES
from kto_tui.hub.updates import Done, Failed, Noted, Progressed, Update
from tests.hub.standin import COMMIT, CONVERTED_COMMIT, POOR_TOKEN, TOKEN, Hub, Repo
from tests.hub.test_command import on_terminal
from tests.hub.test_fetch import broken, closed, nothing, offline, program, strange_etags, token
from tests.test_cli import kto

NAME = "acme/thumbs"
README = b"""---
license: mit
configs:
- config_name: en
  default: true
  data_files:
  - {split: train, path: en/train-*}
  - {split: test, path: en/test-*}
- config_name: de
  data_files: de/*.jsonl
---
# Thumbs
"""
TRAIN = "en/train-00000-of-00001.parquet"
SCRIPT = b"raise SystemExit('remote code was run')"
SCAN = """
from huggingface_hub import scan_cache_dir
found = scan_cache_dir()
print([(repo.repo_type, repo.repo_id, sorted(repo.refs)) for repo in found.repos], found.warnings)
"""


@pytest.fixture
def thumbs(hub: Hub) -> Repo:
    """Two configs, one of them of 4 MB in two splits, and much that is no data."""
    files = {"README.md": README, ".gitattributes": b"x", "LICENSE": b"x", "cover.png": b"x", "tools/build.py": b"x"}
    files |= {TRAIN: random.Random(1).randbytes(4_000_000), "en/test-00000-of-00001.parquet": b"test" * 100}
    hub.datasets[NAME] = Repo(files | {"de/a[1].jsonl": b'{"a": 1}\n', "de/b.jsonl": b"{}\n"})
    return hub.datasets[NAME]


def updates_of(
    data_id: str = NAME, revision: str | None = None, config: str | None = None, split: str | None = None
) -> list[Update]:
    with Download(data_id, revision, "dataset", config, split) as download:
        return list(download)


def done(updates: list[Update]) -> Done:
    assert isinstance(updates[-1], Done), updates[-1]
    return updates[-1]


def failed(updates: list[Update]) -> Failed:
    assert isinstance(updates[-1], Failed), updates[-1]
    return updates[-1]


def files_in(folder: Path | str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_whole_download_brings_the_default_config_and_nothing_else(
    hub: Hub, thumbs: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.delay = 0.02
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    updates = updates_of()
    progress = [one for one in updates if isinstance(one, Progressed)]
    assert done(updates).revision == COMMIT
    wanted = {"README.md", TRAIN, "en/test-00000-of-00001.parquet"}
    assert files_in(done(updates).path) == wanted
    assert done(updates).bytes_fetched == progress[-1].bytes_total == sum(len(thumbs.files[name]) for name in wanted)
    assert progress[0].bytes_done < progress[-1].bytes_done
    assert (progress[-1].share, progress[-1].files_done) == (1.0, 3)
    assert (Path(done(updates).path) / TRAIN).read_bytes() == thumbs.files[TRAIN]
    assert not hub.leaked, "the token went to the host that only stores files"
    assert cached_dataset(NAME) == Path(done(updates).path)
    assert cached_models() == []

    hub.served.clear()
    assert done(updates_of()) == msgspec.structs.replace(done(updates), bytes_fetched=0)
    assert not hub.served


def test_the_library_still_understands_the_cache(hub: Hub, thumbs: Repo) -> None:
    done(updates_of(config="de"))
    scanned = subprocess.run([sys.executable, "-c", SCAN], capture_output=True, text=True, check=True)
    assert scanned.stdout == f"[('dataset', '{NAME}', ['main'])] []\n"


@pytest.mark.parametrize(
    ("config", "split", "taken"),
    [
        ("en", "test", {"en/test-00000-of-00001.parquet"}),
        (None, "test", {"en/test-00000-of-00001.parquet"}),
        ("de", None, {"de/a[1].jsonl", "de/b.jsonl"}),
        ("de", "train", {"de/a[1].jsonl", "de/b.jsonl"}),
    ],
)
def test_a_part_can_be_asked_for(
    hub: Hub, thumbs: Repo, config: str | None, split: str | None, taken: set[str]
) -> None:
    folder = done(updates_of(config=config, split=split)).path
    assert files_in(folder) == {"README.md", *taken}
    assert cached_dataset(NAME, config=config, split=split) == Path(folder)


def test_what_is_here_is_only_what_was_asked_for(hub: Hub, thumbs: Repo) -> None:
    assert cached_dataset(NAME) is None
    folder = Path(done(updates_of(split="test")).path)
    assert cached_dataset(NAME) is None, "the other split is not here"
    assert cached_dataset(NAME, split="train") is None
    assert cached_dataset(NAME, revision="v1", split="test") is None
    assert cached_dataset(NAME, config="de", split="test") is None
    done(updates_of())
    assert cached_dataset(NAME) == cached_dataset(NAME, split="train") == cached_dataset(NAME, split="test") == folder
    (folder / TRAIN).resolve().unlink()
    assert cached_dataset(NAME) is None
    assert cached_dataset(NAME, split="test") == folder
    (folder_of(NAME, "dataset") / "kto-tui.json").write_text("[{")
    assert cached_dataset(NAME, split="test") is None
    assert done(updates_of(split="test")).bytes_fetched == 0
    assert cached_dataset(NAME, split="test") == folder
    assert cached_dataset("../../etc") is None


def test_an_interrupted_download_is_gone_on_with(hub: Hub, thumbs: Repo) -> None:
    hub.delay = 0.05
    with Download(NAME, None, "dataset") as download:
        seen = iter(download)
        next(one for one in seen if isinstance(one, Progressed) and one.share > 0.3)
        began = time.monotonic()
        download._process.send_signal(signal.SIGTERM)
        assert failed(list(seen)).kind == "interrupted"
        assert time.monotonic() - began < 2
    part = next((folder_of(NAME, "dataset") / "blobs").glob("*.incomplete"))
    arrived = part.stat().st_size
    assert part.read_bytes() == thumbs.files[TRAIN][:arrived]
    assert cached_dataset(NAME) is None
    hub.delay = 0
    again = done(updates_of())
    assert again.bytes_fetched == len(thumbs.files[TRAIN]) - arrived
    assert hub.resumed_at == [arrived]
    assert (Path(again.path) / TRAIN).read_bytes() == thumbs.files[TRAIN]


def test_the_disk_is_checked_before_the_first_byte(hub: Hub, thumbs: Repo) -> None:
    usage = f"import shutil; shutil.disk_usage = lambda path: type('Usage', (), {{'free': {MARGIN_BYTES}}})"
    told = program(usage, NAME, "--repo-type=dataset").stdout.splitlines()
    short = failed([msgspec.json.decode(told[-1], type=Update)])
    assert short.kind == "disk"
    assert "4 MiB" in short.message
    assert not hub.served
    assert not folder_of(NAME, "dataset").exists()


def test_a_repository_with_data_and_a_program_is_taken_without_the_program(hub: Hub) -> None:
    hub.datasets[NAME] = Repo({"thumbs.py": SCRIPT, "rows.jsonl": b"{}\n"}, converted={"a/train/0.parquet": b"x"})
    note, *_, last = updates_of()
    assert isinstance(note, Noted)
    assert "thumbs.py of this repository is not run" in note.text
    assert files_in(done([last]).path) == {"rows.jsonl"}


CONVERSION = {
    "default/train/0000.parquet": b"train",
    "default/test/0000.parquet": b"test",
    "en/partial-train/0000.parquet": b"some",
}


@pytest.mark.parametrize("files", [{"thumbs.py": SCRIPT}, {"rows.zip": b"x"}, {"README.md": README, "en/a.txt": b"x"}])
def test_without_data_files_the_hubs_own_conversion_is_taken_and_said(hub: Hub, files: dict[str, bytes]) -> None:
    hub.datasets[NAME] = Repo(files, converted=CONVERSION)
    note, *_, last = updates_of(split="test")
    assert isinstance(note, Noted)
    assert CONVERTED in note.text
    assert "first part" not in note.text
    assert done([last]).revision == CONVERTED_COMMIT
    assert files_in(done([last]).path) == {"default/test/0000.parquet"}
    assert (folder_of(NAME, "dataset") / "refs" / CONVERTED).read_text() == CONVERTED_COMMIT
    assert cached_dataset(NAME, split="test") == Path(done([last]).path)


def test_a_conversion_of_a_part_only_is_said(hub: Hub) -> None:
    hub.datasets[NAME] = Repo({"thumbs.py": SCRIPT}, converted=CONVERSION)
    note, *_, last = updates_of(config="en", split="train")
    assert isinstance(note, Noted)
    assert "only the first part" in note.text
    assert files_in(done([last]).path) == {"en/partial-train/0000.parquet"}


def test_a_config_that_only_the_program_knows_comes_from_the_conversion(hub: Hub) -> None:
    hub.datasets[NAME] = Repo({"thumbs.py": SCRIPT, "rows.jsonl": b"{}\n"}, converted=CONVERSION)
    assert files_in(done(updates_of(config="en")).path) == {"en/partial-train/0000.parquet"}


def test_the_conversion_can_be_asked_for_by_its_name(hub: Hub, thumbs: Repo) -> None:
    thumbs.converted = CONVERSION
    folder = done(updates_of(revision=CONVERTED)).path
    assert files_in(folder) == {"default/test/0000.parquet", "default/train/0000.parquet"}


def of_a_commit(hub: Hub, env: pytest.MonkeyPatch) -> None:
    hub.datasets["acme/script"].converted = CONVERSION


def two_configs(hub: Hub, env: pytest.MonkeyPatch) -> None:
    hub.datasets["acme/script"].converted = {f"{name}/train/0000.parquet": b"x" for name in ("a", "b\x1b[2J")}


Arrange = Callable[[Hub, pytest.MonkeyPatch], None]
REFUSALS: dict[str, tuple[str, dict[str, str], Arrange, str, str, str]] = {
    "gated, nobody": ("acme/gated", {}, nothing, "gated", "This data set is gated, and nobody", "/datasets/acme/gated"),
    "gated, stranger": ("acme/gated", {}, token(POOR_TOKEN), "gated", "no access", "/datasets/acme/gated, with"),
    "bad token": (NAME, {}, token("hf_expired"), "token", "does not accept your token", "/settings/tokens"),
    "missing, nobody": ("acme/none", {}, nothing, "missing", "no such data set, or it is private: without", "log in"),
    "missing, known": ("acme/none", {}, token(TOKEN), "missing", "no such data set, or it is private and", "spelling"),
    "a model's id": ("acme/model", {}, nothing, "missing", "no such data set", "spelling"),
    "renamed": ("acme/old", {}, nothing, "renamed", f"This data set is called {NAME} now", f"Choose {NAME}"),
    "disabled": ("acme/disabled", {}, nothing, "other", "disabled access to this data set", "another data set"),
    "no id": ("not an id", {}, nothing, "missing", "neither a folder nor a hub id", "org/name"),
    "no revision": (NAME, {"revision": "v9"}, nothing, "missing", "The data set has no revision v9", "branch"),
    "unreachable": (NAME, {}, closed, "offline", "http://127.0.0.1:9 cannot be reached", "HF_ENDPOINT"),
    "offline": (NAME, {}, offline, "offline", "This data set is not (wholly) here", "the folder where its files are"),
    "server error": (NAME, {}, broken(503), "other", "error 503", "few minutes"),
    "forbidden": (NAME, {}, broken(403), "token", "may not read this data set", "type read"),
    "no hub": (NAME, {}, strange_etags, "other", "does not answer like a hub", "HF_ENDPOINT"),
    "no data": ("acme/images", {}, nothing, "other", "no parquet, jsonl, json", "another data set"),
    "a program": ("acme/script", {}, nothing, "other", "the program script.py, which is never run", "a folder"),
    "its commit": ("acme/script", {"revision": COMMIT}, of_a_commit, "other", "script.py", "revision"),
    "several": ("acme/script", {}, two_configs, "other", "several configs", r"configs: a, 'b\x1b[2J'"),
    "no config": (NAME, {"config": "fr"}, nothing, "other", "no config 'fr'", "Name one of its configs: de, en"),
    "no split": (NAME, {"config": "en", "split": "dev"}, nothing, "other", "no split 'dev'", "splits: test, train"),
    "no configs": ("acme/plain", {"config": "fr"}, nothing, "other", "no config 'fr'", "Name no config"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_has_its_kind_and_its_sentence(
    name: str, hub: Hub, thumbs: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["acme/model"] = Repo({"rows.jsonl": b"{}"})
    hub.datasets |= {
        "acme/gated": Repo(thumbs.files, gated=True),
        "acme/old": Repo({}, renamed_to=NAME),
        "acme/disabled": Repo({}, disabled=True),
        "acme/images": Repo({"README.md": b"# Images\n", "a.png": b"x"}),
        "acme/script": Repo({"script.py": SCRIPT}),
        "acme/plain": Repo({"rows.jsonl": b"{}"}),
    }
    data_id, part, arrange, kind, message, mend = REFUSALS[name]
    arrange(hub, monkeypatch)
    why = failed(updates_of(data_id, **part))
    assert why.kind == kind
    assert message in why.message
    assert mend in why.mend
    assert not hub.served
    assert "model" not in why.message + why.mend
    assert why.choices == {
        "several": ("a", "b\x1b[2J"), "no config": ("de", "en"), "no split": ("test", "train")
    }.get(name, ())  # fmt: skip


def test_a_gated_data_set_comes_with_a_token_that_was_accepted(
    hub: Hub, thumbs: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbs.gated = True
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    done(updates_of(config="de"))
    assert not hub.leaked


@pytest.mark.parametrize("away", [closed, offline])
def test_without_the_hub_what_was_downloaded_is_taken(
    away: Arrange, hub: Hub, thumbs: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = done(updates_of(config="en", split="test"))
    away(hub, monkeypatch)
    note, last = updates_of(config="en", split="test")
    assert isinstance(note, Noted)
    assert "taking the copy that is here" in note.text
    assert last == msgspec.structs.replace(first, bytes_fetched=0)
    assert failed(updates_of(config="en")).kind == "offline"


def test_the_command_says_where_it_lies_and_lists_no_model(hub: Hub, thumbs: Repo) -> None:
    thumbs.files["thumbs.py"] = SCRIPT
    ran = kto("download", "--dataset", f"https://hf.co/datasets/{NAME}")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert "thumbs.py of this repository is not run" in lines[0]
    assert any("of 4 MiB" in line and "files" in line for line in lines)
    assert lines[-1] == f"{NAME} is in {cached_dataset(NAME)}"
    assert msgspec.json.decode(kto("models", "--cached", "--json").stdout) == []


def test_the_command_takes_config_and_split_and_speaks_json(hub: Hub, thumbs: Repo) -> None:
    ran = kto("download", NAME, "--dataset", "--config", "en", "--split", "test", "--json")
    told = [msgspec.json.decode(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, told[-1]["event"]) == (0, "done")
    assert files_in(told[-1]["path"]) == {"README.md", "en/test-00000-of-00001.parquet"}


def test_on_a_terminal_what_is_said_stays_above_the_line_that_changes(hub: Hub, thumbs: Repo) -> None:
    hub.datasets[NAME] = Repo({"thumbs.py": SCRIPT}, converted=CONVERSION)
    lines = on_terminal("download", "--dataset", NAME).splitlines()
    assert any(CONVERTED in line and "%" not in line for line in lines)
    assert "acme/thumbs is in" in lines[-1] + lines[-2]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([NAME, "--dataset", "--config", "fr"], f"{NAME}: This data set has no config 'fr'. Name one of its configs:"),
        ([NAME, "--split", "test"], f"{NAME}: A model has no configs or splits. Add --dataset."),
        (["./rows.jsonl", "--dataset"], "./rows.jsonl: This is no data set of the hub. Write its id, org/name, or"),
        (["", "--dataset"], "This is no data set of the hub"),
        (["acme/none", "--dataset"], "acme/none: http"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    args: list[str], words: str, hub: Hub, thumbs: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", *args]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kto-tui: {words}")
    assert err.count("\n") == 1
    assert not folder_of(NAME, "dataset").exists()


def test_a_cache_that_cannot_be_written_is_said(hub: Hub, thumbs: Repo) -> None:
    Path(os.environ["HF_HOME"]).write_text("")
    assert "cannot be written" in failed(updates_of()).message
