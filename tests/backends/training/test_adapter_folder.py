"""The adapter's folder: whole or absent, whatever becomes of the disk."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from kto_tui.backends.base import Job
from kto_tui.backends.faults import TrainingError
from kto_tui.backends.training.adapter_folder import save_adapter
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.events import AdapterSaved, AnyEvent
from kto_tui.runs.folder import RunFolder

FULL_DISK = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def writes(error: BaseException | None = None) -> Callable[[Path], None]:
    """Writes a file, and fails then."""

    def write(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(b"weights")
        if error is not None:
            raise error

    return write


def job(folder: Path, told: list[AnyEvent]) -> Job:
    return Job(RunFolder(folder), RunConfig(model="m", data="d", recipe=Recipe()), told.append, lambda: None)


@pytest.mark.parametrize("error", [FULL_DISK, OSError(errno.ENOSPC, "No space left on device")])
def test_an_adapter_that_finds_no_room_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, error: BaseException
) -> None:
    told = list[AnyEvent]()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "old.bin").touch()
    with pytest.raises(TrainingError, match="checkpoints are kept") as caught:
        save_adapter(job(tmp_path, told), writes(error), base=tmp_path, steps=3)
    assert caught.value.cause == "disk_full"
    assert [path.name for path in tmp_path.rglob("*")] == ["adapter", "old.bin"]
    save_adapter(job(tmp_path, told), writes(), base=tmp_path, steps=3)
    assert [type(event) for event in told] == [AdapterSaved]
    assert not (tmp_path / "adapter" / "old.bin").exists()
    assert not list(tmp_path.glob(".adapter*"))
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["README.md", "weights.bin"]
    assert "on 3 steps of" in (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")


def test_a_readme_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    save_adapter(job(tmp_path, []), writes(), base=tmp_path, steps=3, readme="# {braces} stay\n")
    assert (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8") == "# {braces} stay\n"
