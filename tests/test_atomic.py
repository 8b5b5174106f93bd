"""Files that are whole or absent, whatever instant Ctrl-C comes at."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from kto_tui.atomic import as_usual, atomic_file, write_atomically
from kto_tui.data.shapes.form import Form
from kto_tui.data.store import About
from kto_tui.data.storing import Batch, StoreWriter

ABOUT = About(
    key="0" * 64,
    files=(),
    format=("JSON lines", 1.0, ""),
    form=Form("prompt_completion", "", {}, 1.0, ""),
    labels=(),
    values=(),
    records=1,
    bytes_read=1,
)


class Interrupting:
    """Raises what a signal would raise at the ``at``-th line that Python reaches, in its own library's code too."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "Interrupting":
        if event == "line":
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self

    def during(self, act: Callable[[], None]) -> bool:
        """Whether it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            act()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def write_whole(path: Path) -> None:
    write_atomically(path, b"whole")


def write_a_line_at_a_time(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b"who")
        file.write(b"le")


def write_store(path: Path) -> None:
    batch = Batch()
    batch.add((*[0] * 8, True), b"prompt", b"completion", b"", b"")
    taken = batch.take()
    assert taken is not None
    with StoreWriter(path) as writer:
        writer.write(taken)
        writer.finish(ABOUT)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # between ``open`` and ``with``: Python closes it
@pytest.mark.parametrize("write", [write_whole, write_a_line_at_a_time, write_store])
def test_nothing_half_written_is_left_whenever_it_is_interrupted(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "first")  # whatever is imported late is there
    at, interrupted = 0, True
    while interrupted:
        at += 1
        path = tmp_path / f"{at}"
        interrupted = Interrupting(at).during(lambda path=path: write(path))  # type: ignore[misc]
        left = [one.name for one in tmp_path.iterdir() if one.name.startswith(".")]
        assert not left, f"interrupted at line {at}"
    assert at > 10
    assert path.read_bytes() == (tmp_path / "first").read_bytes()


@pytest.mark.parametrize("umask", [0, 0o022, 0o027, 0o077])
def test_the_usual_mode_is_what_new_files_and_folders_have(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        usual = as_usual(0o666), as_usual(0o777)
    finally:
        found = os.umask(before)
    assert found == umask, "it is as it was"
    assert usual == tuple(stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder"))
