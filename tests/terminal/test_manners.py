"""Terminals as they are met over SSH: resized, lost, few-coloured, 7-bit, dumb, inside tmux."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.terminal.runs import LiveRun
from tests.terminal.screen import PATIENCE_SECONDS, ROOT, Terminal, attached

STORM = [(1, 1), (200, 60), (60, 18), (81, 24), (80, 23), (2, 50), (140, 45), (79, 24), (500, 3), (80, 25)]
REDRAW = "\x0c"
SENTENCE = "This terminal is smaller than 80 columns by 24 rows"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resized_at_any_moment(home: Path) -> None:
    live = LiveRun(home, past=100)
    with attached(live.run.path) as term:
        for turn, size in enumerate(STORM * 4):
            if turn == len(STORM):
                term.wait_for("loss")  # the first ten came while it started
            live.step()
            term.resize(*size)
            time.sleep(0.03 * (turn % 3))
        term.resize(60, 18)
        time.sleep(1.0)
        before = term.size
        term.settle().press(REDRAW)  # what it shows already is not written again
        term.wait_for("Make it", before).settle()
        before = term.size
        term.resize(80, 24)
        term.wait_for("loss", before).wait_for("Detach", before)
        term.settle()
        before = term.size
        term.resize(1, 1)
        term.settle()
        assert not term.seen(before).strip()[1:], "one cell"
        before = term.size
        term.resize(140, 45)
        term.wait_for("Detach", before)
        assert term.process.poll() is None


def test_a_small_terminal_gets_one_sentence(home: Path) -> None:
    live = LiveRun(home, past=100)
    with attached(live.run.path, size=(60, 18)) as term:
        term.wait_for("This terminal is smaller").settle()
        before = term.size
        live.step()
        time.sleep(0.7)
        assert term.size - before < 100, "what happens behind the sentence is not drawn"
        assert "loss" not in term.seen()


@pytest.mark.parametrize("moment", ["at once", "while it starts", "while it draws", "hang-ups ignored"])
def test_the_terminal_goes_away(home: Path, moment: str) -> None:
    """The program ends, nothing is left behind, and the run has not noticed."""
    live = LiveRun(home, past=100)
    before = contents(home)
    argv = (sys.executable, "-m", "kto_tui", "attach", str(live.run.path))
    trap = ("/bin/sh", "-c", 'trap \'\' HUP; exec "$0" "$@"') if moment == "hang-ups ignored" else ()
    with Terminal(*trap, *argv) as term:
        if moment == "while it starts":
            time.sleep(0.3)
        elif moment != "at once":
            term.wait_for("Detach").settle()
        if moment == "while it draws":
            term.stall()
            for _ in range(20):
                term.press("?\x1b")
            time.sleep(0.3)
        term.hang_up()
        assert term.ended() in {-signal.SIGHUP, 1, 2} if moment == "at once" else term.ended() == -signal.SIGHUP
    assert contents(home) == before
    assert live.run.alive() is True


def test_kill_leaves_the_terminal_as_it_was(home: Path) -> None:
    live = LiveRun(home, past=100)
    with attached(live.run.path) as term:
        term.wait_for("Detach").settle()
        before = term.size
        term.process.terminate()
        assert term.ended() == 128 + signal.SIGTERM
        assert b"\x1b[?1049l" in term.raw(before), "the screen from before"
        assert b"\x1b[?25h" in term.raw(before), "its cursor"
        assert b"\x1b[?1003l" in term.raw(before), "its mouse"


def test_back_from_the_shell_everything_is_drawn(home: Path) -> None:
    live = LiveRun(home, past=100)
    with attached(live.run.path) as term:
        term.wait_for("Detach").settle()
        before = term.size
        term.process.send_signal(signal.SIGTSTP)
        while b"\x1b[?1049l" not in term.raw(before):
            term.wait_arrived(before)
        term.settle()
        before = term.size
        term.process.send_signal(signal.SIGCONT)
        term.wait_for("warm-dove", before).wait_for("loss", before).wait_for("Detach", before)


RICH = re.compile(rb"[34]8;[25]")
COLOUR = re.compile(rb"(?<![\d;])(0;)?([\d;]*;)?([349][0-8]|10[0-7])(;|$)")


@pytest.mark.parametrize(
    ("env", "refused", "ascii_only"),
    [
        ({"TERM": "xterm"}, RICH, False),
        ({"TERM": "linux"}, RICH, True),
        ({"NO_COLOR": "1"}, COLOUR, False),
        ({"NO_COLOR": "1", "TERM": "vt100", "LANG": "C"}, COLOUR, True),
        ({"LANG": "C"}, RICH, True),
        ({"LC_ALL": "C"}, RICH, True),
    ],
)
def test_what_a_terminal_lacks_is_not_sent(
    home: Path, env: dict[str, str], refused: re.Pattern[bytes], ascii_only: bool
) -> None:
    live = LiveRun(home, past=100)
    with attached(live.run.path, env=env) as term:
        term.wait_for("Detach").settle()
        term.press("?")
        term.wait_for("Keys").settle()
        raw = term.raw()
    codes = set(re.findall(rb"\x1b\[([\d;]*)m", raw))
    assert codes >= {b"0", b"0;1"}, "bold and plain"
    assert not [code for code in codes if refused.search(code)]
    assert raw.isascii() is ascii_only


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_a_sentence(home: Path, term: str) -> None:
    live = LiveRun(home)
    with attached(live.run.path, env={"TERM": term}) as terminal:
        assert terminal.ended() == 2
        assert b"\x1b" not in terminal.raw()
        assert f"TERM={term}: This terminal cannot draw a screen" in terminal.seen()


# tmux, a real terminal emulator


@pytest.fixture
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """A tmux of its own; its server ends with the test."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here")
    socket = tmp_path_factory.mktemp("tmux") / "socket"
    env = {name: value for name, value in os.environ.items() if name != "TMUX"}
    env |= {"LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}

    def call(*arguments: str) -> str:
        command = ["tmux", "-S", str(socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=30).stdout

    call.socket = str(socket)  # type: ignore[attr-defined]
    yield call
    subprocess.run(["tmux", "-S", str(socket), "kill-server"], capture_output=True, check=False)


def shown(tmux: Callable[..., str], text: str) -> str:
    """What the pane shows, with its styles, once ``text`` is there and nothing changes any more."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < deadline:
        now = tmux("capture-pane", "-p", "-e")
        if text in now and now == before:
            return now
        before = now
        time.sleep(0.15)
    raise AssertionError(f"{text!r} not shown: {before}")


def test_inside_tmux(home: Path, tmux: Callable[..., str]) -> None:
    """Detached, fed, attached again in another size: what is shown is what drawing everything anew shows."""
    live = LiveRun(home, past=100)
    command = f"exec {sys.executable} -m kto_tui attach {live.run.path}"
    tmux("new-session", "-d", "-x", "80", "-y", "24", command)
    pid = int(tmux("display-message", "-p", "#{pane_pid}"))
    shown(tmux, "Detach")
    client = ("tmux", "-S", tmux.socket, "attach")  # type: ignore[attr-defined]
    for size in ((100, 31), (80, 25)):
        with Terminal(*client, columns=size[0], rows=size[1]) as term:
            term.wait_for("Detach").settle()
            live.step()
            live.gauge()
            term.press("\x02d")
            assert term.ended() == 0, "detached"
        live.step()
    for keys in (["?"], ["Escape"], ["l"], ["Escape"]):
        tmux("send-keys", *keys)
        time.sleep(0.3)
    live.step()
    time.sleep(0.7)
    drawn = shown(tmux, "Detach")
    tmux("clear-history")
    tmux("send-keys", "C-l")
    time.sleep(0.3)
    assert shown(tmux, "Detach") == drawn
    assert "step 105/500" in re.sub(r"\x1b\[[\d;]*m", "", drawn)
    tmux("kill-server")
    assert psutil.wait_procs([psutil.Process(pid)], timeout=10)[1] == [] if psutil.pid_exists(pid) else True
    assert live.run.alive() is True
