"""Run folders: made whole or not at all, found by name; and who runs them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kto_tui.errors import UserError
from kto_tui.paths import runs_home
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig, load_config, to_toml
from kto_tui.runs.control import ControlReader, Request, request
from kto_tui.runs.event_log import EventWriter
from kto_tui.runs.events import (
    Ended,
    Evaluated,
    StepCompleted,
    WorkerStarted,
)
from kto_tui.runs.folder import MIN_FREE_BYTES, RunFolder, create_run, find_run, list_runs
from kto_tui.runs.identity import Identity, is_alive, own_identity, read_identity, write_identity
from kto_tui.runs.launch import ask
from kto_tui.runs.overview import summarise

CONFIG = RunConfig(model="org/name", data="starter", recipe=Recipe(), because={"beta": "the usual value"})
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - the shape of shutil's own


def make(name: str, *, age: int = 0) -> RunFolder:
    """A run with a chosen name, ``age`` seconds old."""
    path = runs_home() / name
    path.mkdir(parents=True)
    run = RunFolder(path)
    run.config.write_text(to_toml(CONFIG), encoding="utf-8")
    os.utime(run.config, (1_700_000_000 - age, 1_700_000_000 - age))
    return run


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() or path.parent.name == "runs"]


# Creating


def test_a_new_run(home: Path) -> None:
    run = create_run(CONFIG)
    assert run.path.parent == home / "runs"
    assert load_config(run.config) == CONFIG
    assert [path.name for path in run.path.iterdir()] == ["run.toml"]
    assert run.path.stat().st_mode & 0o077 == 0, "prompts are nobody else's business"
    assert {path.name for path in runs_home().iterdir()} == {run.id}


def test_runs_have_different_names() -> None:
    assert len({create_run(CONFIG).id for _ in range(30)}) == 30
    assert len(list_runs()) == 30


def test_too_little_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 10**12, MIN_FREE_BYTES - 1))
    with pytest.raises(UserError, match="MiB of disk are free") as caught:
        create_run(CONFIG)
    assert str(home) in str(caught.value)
    assert everything_in(home) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 0, MIN_FREE_BYTES))
    assert create_run(CONFIG).config.exists()


CREATE_ON_A_FULL_DISK = textwrap.dedent("""
    import resource, sys
    from kto_tui.errors import UserError
    from kto_tui.recipe import Recipe
    from kto_tui.runs.config import RunConfig
    from kto_tui.runs.folder import create_run
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        create_run(RunConfig(model="org/name", data="starter", recipe=Recipe()))
    except UserError as error:
        print(error)
        sys.exit(7)
""")


def test_a_disk_that_fills_up_in_between(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", CREATE_ON_A_FULL_DISK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "Runs cannot be written here" in done.stdout
    assert str(home) in done.stdout
    assert everything_in(home) == []


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder this process may look into but not write to, even where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_read_only_folder(read_only_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in (read_only_folder, read_only_folder / "deeper" / "still"):
        monkeypatch.setenv("KTO_TUI_HOME", str(home))
        with pytest.raises(UserError, match="cannot be written") as caught:
            create_run(CONFIG)
        assert str(home) in str(caught.value)
        assert "KTO_TUI_HOME" in caught.value.mend
    assert list(read_only_folder.iterdir()) == []


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("KTO_TUI_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written"):
        create_run(CONFIG)
    assert (tmp_path / "file").read_text() == "mine"
    assert list_runs() == []


# Finding


def test_runs_are_found_by_name_beginning_path_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("calm-otter", age=30)
    make("calm-owl", age=10)
    make("bold-fox", age=20)
    (runs_home() / "no-run").mkdir()
    assert [run.id for run in list_runs()] == ["calm-owl", "bold-fox", "calm-otter"]
    assert find_run("last").id == "calm-owl"
    assert find_run("b").id == find_run("bold-fox").id == "bold-fox"
    assert find_run("calm-ot").id == "calm-otter"
    monkeypatch.chdir(tmp_path)
    assert find_run("./runs/bold-fox").path == runs_home() / "bold-fox"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_run("~/runs/bold-fox").path == runs_home() / "bold-fox"


def test_a_whole_name_beats_the_beginning_of_another() -> None:
    make("calm-cat", age=5)
    make("calm-cat-100")
    assert find_run("calm-cat").id == "calm-cat"


def test_a_beginning_that_several_runs_share() -> None:
    make("calm-otter")
    make("calm-owl")
    for text, problem in (("calm", "Several runs"), ("", "no run called")):
        with pytest.raises(UserError, match=problem) as caught:
            find_run(text)
        assert "calm-otter" in caught.value.mend
        assert "calm-owl" in caught.value.mend


@pytest.mark.parametrize(
    "text", ["nothing", "./runs/nothing", "~no-such-user-here/x", "x" * 5000, "y/" + "x" * 5000, "no-run", "a\0b/c"]
)
def test_an_unknown_run_names_the_known_ones(text: str) -> None:
    make("bold-fox")
    (runs_home() / "no-run").mkdir()
    with pytest.raises(UserError, match="no run called") as caught:
        find_run(text)
    assert "bold-fox" in caught.value.mend


@pytest.mark.parametrize("text", ["last", "bold-fox", ""])
def test_no_runs_yet(text: str) -> None:
    assert list_runs() == []
    with pytest.raises(UserError, match="no run called") as caught:
        find_run(text)
    assert "kto-tui demo" in caught.value.mend


# Reading


def test_the_summary_of_a_finished_run() -> None:
    run = make("bold-fox")
    writer = EventWriter(run.events)
    writer.write(WorkerStarted(host="h", pid=1))
    writer.write(StepCompleted(step=8, total_steps=9, loss=0.25, tokens_per_second=12.5))
    writer.write(Evaluated(step=9, rows=20, accuracy=0.75))
    writer.write(Ended(reason="failed", message="out of memory"))
    writer.close()
    line = summarise(run)
    assert (line.id, line.state, line.reason, line.message) == ("bold-fox", "failed", "failed", "out of memory")
    assert (line.step, line.total_steps, line.loss, line.tokens_per_second) == (9, 9, 0.25, 12.5)
    assert (line.heldout_accuracy, line.path) == (0.75, str(run.path))
    assert line.started is not None
    assert line.ended is not None
    assert line.started <= line.ended


def test_the_summary_of_a_run_that_never_began() -> None:
    line = summarise(make("bold-fox"))
    assert (line.state, line.step, line.total_steps, line.loss, line.started) == ("died", 0, None, None, None)


def test_a_state_is_read_to_the_end_whatever_stands_in_between() -> None:
    run = make("bold-fox")
    run.events.write_bytes(b'{"kind":"teleported","what":"' + b"x" * 1000 + b'"}\n')
    with run.events.open("ab") as file:
        file.writelines([b'{"kind":"teleported","what":"' + b"x" * 10_000 + b'"}\n'] * 500)
    writer = EventWriter(run.events)
    writer.write(Ended(reason="finished"))
    writer.close()
    assert run.status(run.read_state()) == "finished"


def test_the_tail_of_the_log() -> None:
    run = make("bold-fox")
    assert run.log_tail() == []
    run.log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(5000)))
    assert run.log_tail(2) == ["line 4998 \ufffd", "line 4999 \ufffd"]
    assert len(run.log_tail()) == 20


# Control


def test_requests_hold_until_the_run_is_to_go_on(tmp_path: Path) -> None:
    file = tmp_path / "control.jsonl"
    reader = ControlReader(file)
    assert reader.latest() is None
    request(file, Request(action="stop"))
    assert reader.latest() == "stop"
    request(file, Request(action="pause"))
    assert reader.latest() == "pause"
    request(file, Request(action="abort"))
    request(file, Request(action="stop"))
    assert reader.latest() == "abort", "nothing is above an abort"
    request(file, Request(action="run"))
    assert reader.latest() is ControlReader(file).latest() is None, "a resumed run has not been asked anything yet"


def test_marks_arrive_once_and_settings_stay(tmp_path: Path) -> None:
    file = tmp_path / "control.jsonl"
    request(file, Request(action="mark", text="of the first process"))
    request(file, Request(action="set", name="log_every", value=5))
    request(file, Request(action="run"))
    request(file, Request(action="mark", text="odd"))
    request(file, Request(action="set", name="sample_prompts", value=("a", "b")))
    reader = ControlReader(file)
    assert reader.marks() == ["odd"]
    assert reader.marks() == []
    assert reader.settings == {"log_every": 5, "sample_prompts": ("a", "b")}


def test_what_is_no_request_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "control.jsonl"
    reader = ControlReader(file)
    file.write_bytes(b'{"action": "stop"}\n\xff\nnonsense\n{"action": "dance"}\n{"action": "ab')
    assert reader.latest() == "stop"
    with file.open("ab") as stream:
        stream.write(b'ort"}\n')
    assert reader.latest() == "abort"


def test_nobody_is_asked_where_nobody_runs() -> None:
    run = make("bold-fox")
    assert not ask(run, "stop")
    assert not run.control.exists()
    write_identity(run.identity, own_identity())
    assert ask(run, "stop")
    assert ControlReader(run.control).latest() == "stop"


# Identity

SAY_WHO = textwrap.dedent("""
    import sys
    from pathlib import Path
    from kto_tui.runs.identity import own_identity, write_identity
    write_identity(Path(sys.argv[1]), own_identity())
    print("ready", flush=True)
    sys.stdin.readline()
""")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Identity]]:
    """A process that has said who it is and waits for a line."""
    file = tmp_path / "child.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_WHO, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    identity = read_identity(file)
    assert identity is not None
    yield process, identity
    process.communicate("\n")


def test_this_process_is_alive() -> None:
    own = own_identity()
    assert own.pid == os.getpid()
    assert own == own_identity()
    assert is_alive(own) is True


def test_a_process_lives_is_a_zombie_and_is_gone(child: tuple[subprocess.Popen[str], Identity]) -> None:
    process, identity = child
    assert identity.pid == process.pid
    assert is_alive(identity) is True
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.kill(process.pid, 0)  # its number is still taken: it is a zombie
    assert is_alive(identity) is False
    process.wait()
    assert is_alive(identity) is False


def test_a_stopped_process_is_alive(child: tuple[subprocess.Popen[str], Identity]) -> None:
    process, identity = child
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_alive(identity) is True
    process.send_signal(signal.SIGCONT)


def test_a_number_used_again_is_another_process() -> None:
    assert is_alive(msgspec.structs.replace(own_identity(), start="1")) is False


def test_another_boot_is_another_process() -> None:
    assert is_alive(msgspec.structs.replace(own_identity(), boot="another")) is False


def test_of_another_host_nothing_is_known() -> None:
    elsewhere = msgspec.structs.replace(own_identity(), host="another", boot="another")
    assert is_alive(elsewhere) is None
    run = make("bold-fox")
    write_identity(run.identity, elsewhere)
    assert run.alive() is None
    assert run.status(run.read_state()) == "unknown"


def test_an_identity_reads_back(tmp_path: Path) -> None:
    own = own_identity()
    write_identity(tmp_path / "who.json", own)
    assert read_identity(tmp_path / "who.json") == own
    assert [path.name for path in tmp_path.iterdir()] == ["who.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b"\xff", b'{"host": "\xff"}'])
def test_no_identity(content: bytes | None) -> None:
    run = make("bold-fox")
    if content is not None:
        run.identity.write_bytes(content)
    assert read_identity(run.identity) is None
    assert run.alive() is False
    assert run.status(run.read_state()) == "died"
