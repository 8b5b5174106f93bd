"""A second person watches: whatever is pressed, nothing of the run changes, and nothing but reading is needed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from kto_tui.errors import UserError
from kto_tui.runs.folder import find_run
from kto_tui.runs.identity import is_alive, own_identity
from tests.terminal.runs import LiveRun
from tests.terminal.screen import ROOT, Terminal

NOBODY = 65534
# Not even root may then read or write what its mode does not allow: another user's folder is another user's.
POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
# hidepid hides other users' processes from everyone but root; a mount namespace keeps that to this command.
HIDDEN = f"""
import os, subprocess, sys
import msgspec
from kto_tui.runs.identity import Identity, is_alive
supervisor = msgspec.json.decode(sys.argv[1].encode(), type=Identity)
is_alive(supervisor)  # whatever it imports, it imports as root
subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"], check=True)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
print(is_alive(supervisor), is_alive(msgspec.structs.replace(supervisor, pid=2**22 + 1)))
"""
needs_root = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="only root can give a folder to another user"
)


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below ``folder`` with its mode, time of change and content."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        at = path.stat()
        found[str(path)] = (at.st_mode, at.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def given_away(folder: Path, *, readable: bool) -> None:
    """``folder`` belongs to somebody else, who lets others read it or does not."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod((0o755 if path.is_dir() else 0o644) if readable else (0o700 if path.is_dir() else 0o600))
        os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("other", [False, pytest.param(True, marks=needs_root)], ids=["same user", "another user"])
def test_no_key_touches_the_run(home: Path, other: bool) -> None:
    live = LiveRun(home, past=100)
    if other:
        given_away(live.run.path, readable=True)
    before = tree(live.run.path)
    argv = [sys.executable, "-m", "kto_tui", "attach", str(live.run.path), "--read-only"]
    with Terminal(*(POWERLESS if other else ()), *argv) as term:
        term.wait_for("RUNNING").wait_for("step 100/500").wait_for("read-only").settle()
        assert "Stop" not in term.seen()
        assert "Pause" not in term.seen()
        for key in "ps" if other else "abcdefghijklmnoprstuvwxyz":  # q leaves
            term.press(key)
            term.press("y\r")
            time.sleep(0.03)
            term.press("\x1b")
            time.sleep(0.12)  # longer than Textual waits for the rest of an escape sequence
        term.press("r")
        time.sleep(0.5)
        term.press("d")
        term.press("y\r")
        time.sleep(0.3)
        term.press("\x1b")
        term.settle()
        assert term.process.poll() is None
        assert tree(live.run.path) == before
        since = term.size
        live.step()
        term.wait_frame(since)
        term.press("\x1b")
        time.sleep(0.3)
        term.press("q")
        assert term.ended() == 0
    assert live.run.alive() is True


@needs_root
def test_a_folder_nobody_else_may_read(home: Path) -> None:
    live = LiveRun(home)
    given_away(live.run.path, readable=False)
    with Terminal(*POWERLESS, sys.executable, "-m", "kto_tui", "attach", str(live.run.path)) as term:
        assert term.ended() == 2
        assert "The owner of this folder lets nobody else read it" in term.seen()
        assert "chmod -R go+rX" in term.seen()


def test_a_folder_without_a_run_is_called_unknown(home: Path) -> None:
    with pytest.raises(UserError, match="There is no run called"):
        find_run(f"{home}/")


def test_a_supervisor_whose_process_is_hidden_is_alive() -> None:
    me = own_identity()
    assert is_alive(me) is True
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace here")
    text = msgspec.json.encode(me).decode()
    command = ["unshare", "-m", sys.executable, "-c", HIDDEN, text]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if "mount" in done.stderr:
        pytest.skip("proc cannot be mounted here")
    assert done.stdout == "True False\n", done.stderr
