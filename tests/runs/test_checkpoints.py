"""Checkpoints on disk: whatever is torn, flipped, half-written or killed in between, what is found is whole."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kto_tui.runs import checkpoints
from kto_tui.runs.checkpoints import (
    RESERVE_BYTES,
    Checkpoint,
    DamagedError,
    Manifest,
    begin,
    check,
    discard,
    make_room,
    newest_size,
    newest_valid,
    prune,
    seal,
)
from kto_tui.runs.folder import RunFolder

FILES = {"adapter.bin": b"a" * 300, "state.json": b'{"step": 3}', "inner/empty": b"", "inner/rng": bytes(range(256))}
CHANGES = ("fsync", "open", "mkdir", "rename", "replace", "unlink", "rmdir")


def manifest(step: int) -> Manifest:
    return Manifest(
        step=step,
        total_steps=9,
        epoch=0,
        window=step,
        versions={"torch": "2.13.0"},
        fingerprints={"data": "d" * 64},
        recipe={"beta": 0.1},
    )


def write(run: RunFolder, step: int, content: bytes = b"") -> Checkpoint:
    build = begin(run, step)
    for name, usual in FILES.items():
        (build / name).parent.mkdir(exist_ok=True)
        (build / name).write_bytes(usual + content)
    return seal(build, run, manifest(step))


@pytest.fixture(autouse=True)
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes that were flushed; without the disk, which is slow where many write."""
    done: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_ino))
    return done


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_what_is_sealed_is_found_with_all_it_says(run: RunFolder) -> None:
    written = write(run, 3)
    found, remarks = newest_valid(run)
    assert found == written
    assert remarks == []
    assert found.path == run.checkpoints / "checkpoint-3"
    assert set(found.manifest.files) == set(FILES)
    assert found.size_bytes == newest_size(run) == sum(map(len, FILES.values()))
    assert found.manifest.written_at > 0
    assert (run.checkpoints.stat().st_mode & 0o077) == 0, "private"


def test_a_run_without_checkpoints_has_none(run: RunFolder) -> None:
    assert newest_valid(run) == (None, [])
    assert newest_size(run) is None


def test_everything_is_flushed_before_it_has_its_name(
    run: RunFolder, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, at_rename = Path.rename, list[int]()

    def renaming(path: Path, target: Path) -> Path:
        at_rename.extend(flushed)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renaming)
    folder = write(run, 1).path
    assert {path.stat().st_ino for path in (folder, *folder.rglob("*"))} <= set(at_rename)
    assert run.checkpoints.stat().st_ino in flushed[len(at_rename) :], "and the name itself after it"


def test_any_flipped_cut_or_missing_byte_is_noticed(run: RunFolder) -> None:
    write(run, 2)
    newest = write(run, 5)

    @given(data=st.data())
    @settings(max_examples=200)
    def spoil(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*FILES, checkpoints.MANIFEST]))
        path = newest.path / name
        content = path.read_bytes()
        change = data.draw(st.sampled_from(["flip", "cut", "extend", "remove"] if content else ["extend", "remove"]))
        if change == "remove":
            path.unlink()
        elif change == "extend":
            path.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
        else:
            at = data.draw(st.integers(0, 9999)) % len(content)  # the manifest's length is not always the same
            bit = 1 << data.draw(st.integers(0, 7))
            changed = bytes([content[at] ^ bit])
            path.write_bytes(content[:at] + (changed + content[at + 1 :] if change == "flip" else b""))
        found, remarks = newest_valid(run)
        path.write_bytes(content)
        assert found is not None
        if found.step == 5:  # what changed is the room between the words of the manifest
            assert found == newest
            assert name == checkpoints.MANIFEST
            assert change == "extend"
        else:
            assert found.step == 2
            assert len(remarks) == 1
            assert remarks[0].startswith("Skipped checkpoint-5: ")
            assert name in remarks[0]

    spoil()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "adapter.bin").unlink(), "adapter.bin is missing"),
        (lambda folder: (folder / "adapter.bin").write_bytes(b"a"), "adapter.bin has 1 of 300 bytes"),
        (lambda folder: (folder / "adapter.bin").write_bytes(b"b" * 300), "adapter.bin is damaged"),
        (lambda folder: (folder / "checkpoint.json").unlink(), "it has no checkpoint.json, so it was never finished"),
        (lambda folder: (folder / "checkpoint.json").write_text("{"), "checkpoint.json is damaged"),
        (lambda folder: shutil.rmtree(folder) or folder.write_text(""), "checkpoint.json cannot be read"),
    ],
    ids=["missing", "cut", "changed", "unsealed", "torn manifest", "a file"],
)
def test_the_remark_names_why(run: RunFolder, change: object, sentence: str) -> None:
    folder = write(run, 4).path
    change(folder)  # type: ignore[operator]
    found, remarks = newest_valid(run)
    assert found is None
    assert f"Skipped checkpoint-4: {sentence}" in remarks[0]


def seal_and_die(run: RunFolder, die_at: int) -> int:
    """Write step 2 in a process that dies at its ``die_at``-th change of the disk; its exit code, 0 if it lived."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    done = 0

    def dying(act: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **options: object) -> object:
            nonlocal done
            done += 1
            if done == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args, **options)

        return wrapped

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))
    write(run, 2, b"new")
    os._exit(0)


def test_killed_at_any_moment_of_sealing_the_old_or_the_new_one_is_found(run: RunFolder) -> None:
    found_new = []
    for die_at in range(1, 99):
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        write(run, 1)
        old = write(run, 2, b"old")
        code = seal_and_die(run, die_at)
        found, _ = newest_valid(run)
        assert found is not None
        assert found.step == 2, "never back to an older one"
        found_new.append(found.manifest.files != old.manifest.files)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        write(run, 3)
        prune(run, 3)
        assert not [name for name in names(run) if name.startswith(".")], "what the dead left is gone"
    assert len(found_new) > 15
    assert found_new == sorted(found_new), "once the new one is there, it stays"
    assert found_new[-1]


def test_pruning_keeps_the_newest_and_never_the_damaged_alone(run: RunFolder) -> None:
    for step in range(1, 7):
        write(run, step)
    for step in (4, 6):  # one with its right size, which only its digest gives away
        (run.checkpoints / f"checkpoint-{step}" / "adapter.bin").write_bytes(b"b" * 300)
    prune(run, 2)
    assert names(run) == ["checkpoint-4", "checkpoint-5", "checkpoint-6"]
    (run.checkpoints / "checkpoint-5" / "adapter.bin").unlink()
    prune(run, 1)
    assert names(run) == ["checkpoint-4", "checkpoint-5", "checkpoint-6"], "nothing is removed where nothing is good"
    write(run, 7)
    prune(run, 1)
    assert names(run) == ["checkpoint-7"]


def test_what_a_living_writer_has_begun_is_left_alone(run: RunFolder) -> None:
    write(run, 1)
    build = begin(run, 2)
    prune(run, 1)
    assert build.is_dir()
    discard(build)
    assert names(run) == ["checkpoint-1"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_an_older_checkpoint_makes_room_but_never_the_last(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2, 3):
        write(run, step)

    def usage(_path: Path) -> Usage:
        return Usage(10**9, 0, RESERVE_BYTES + 1000 * (4 - len(names(run))))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert make_room(run, 1000, limit=3) == 0
    assert names(run) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"], "there was room"
    assert make_room(run, 2000, limit=3) == 0
    assert names(run) == ["checkpoint-2", "checkpoint-3"]
    assert make_room(run, 5000, limit=2) == 2000
    assert names(run) == ["checkpoint-3"]
    assert make_room(run, 5000, limit=1) == 2000
    assert names(run) == ["checkpoint-3"]


def test_another_version_is_not_read_as_this_one(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(run, 1).path
    monkeypatch.setattr(checkpoints, "VERSION", 2)
    with pytest.raises(DamagedError, match="it is of version 1, this program reads 2"):
        check(folder)
