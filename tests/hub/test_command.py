"""``kto-tui download`` and ``kto-tui models --cached`` as a person meets them."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from kto_tui.cli import main
from kto_tui.hub.cache import cached
from tests.hub.conftest import WEIGHTS
from tests.hub.standin import Hub, Repo
from tests.test_cli import kto


def test_a_download_is_told_in_lines_and_listed(hub: Hub, tiny: Path) -> None:
    hub.add_folder("acme/tiny", tiny)
    hub.delay = 0.1
    done = kto("download", "acme/tiny")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("of 387 KiB" in line and "files" in line for line in lines)
    assert "acme/tiny is in" in lines[-1]
    assert len(lines) <= 12

    listed = kto("models", "--cached").stdout
    assert "acme/tiny" in listed
    assert "complete" in listed
    assert "387 KiB" in listed
    records = msgspec.json.decode(kto("models", "--cached", "--json").stdout)
    assert [(one["id"], one["complete"], one["unfinished_bytes"]) for one in records] == [("acme/tiny", True, 0)]
    assert records[0]["size_bytes"] == sum(path.stat().st_size for path in tiny.iterdir())


def test_control_c_is_a_cancelled_download_that_can_be_gone_on_with(hub: Hub, big: Repo) -> None:
    hub.delay = 0.05
    # Shells start background jobs, and so perhaps this test, with the signal ignored.
    heed = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", heed, sys.executable, "-m", "kto_tui", "download", "acme/big", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if msgspec.json.decode(line)["bytes_done"] > 1_000_000:
                break
        hub.delay = 2.0  # it cannot be done before the signal arrives
        process.send_signal(signal.SIGINT)
        last = msgspec.json.decode(process.stdout.readlines()[-1])
        words = process.stderr.read()
    assert process.returncode == 130
    assert (last["event"], last["kind"]) == ("failed", "interrupted")
    assert "what has arrived is kept" in words
    assert words.count("\n") == 1
    records = msgspec.json.decode(kto("models", "--cached", "--json").stdout)
    assert not records[0]["complete"]
    assert 0 < records[0]["unfinished_bytes"] < len(big.files[WEIGHTS])
    assert "incomplete" in kto("models", "--cached").stdout

    hub.delay = 0
    done = kto("download", "acme/big", "--json")
    assert done.returncode == 0
    assert msgspec.json.decode(done.stdout.splitlines()[-1])["event"] == "done"
    assert cached("acme/big").complete  # type: ignore[union-attr] # it was just downloaded


def on_terminal(*args: str) -> str:
    """What a terminal is sent by a command that succeeds."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "kto_tui", *args])  # noqa: S606
    seen, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            seen += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return seen.decode()


def test_on_a_terminal_it_is_one_line_that_changes(hub: Hub, big: Repo) -> None:
    hub.delay = 0.02
    text = on_terminal("download", "acme/big")
    assert "MiB/s" in text
    assert "%" in text
    assert "acme/big is in" in text.splitlines()[-1] + text.splitlines()[-2]


REFUSED = {
    "gated": ("acme/gated", "accept its licence"),
    "missing": ("acme/none", "without a login"),
    "a near name": ("qwen3-0.6", "No model is called"),
    "a folder": (".", "config.json"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_sentence_and_exit_code_2(name: str, hub: Hub, big: Repo) -> None:
    hub.repos["acme/gated"] = Repo(big.files, gated=True)
    model, words = REFUSED[name]
    done = kto("download", model)
    assert done.returncode == 2
    assert words.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1


def test_trouble_of_the_hub_is_a_model_that_cannot_be_had(hub: Hub) -> None:
    hub.broken = 503
    done = kto("download", "acme/big", "--json")
    assert done.returncode == 2
    assert msgspec.json.decode(done.stdout)["kind"] == "other"
    assert done.stderr.startswith("kto-tui: acme/big: ")
    assert "error 503" in done.stderr


@pytest.mark.parametrize("address", ["garbage", "ftp://example.org", "https://", "https://["])
def test_an_endpoint_that_is_no_address_is_not_blamed_on_the_network(
    address: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert main(["download", "acme/big"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("kto-tui: acme/big: HF_ENDPOINT is ")
    assert "no http:// or https:// address" in sentence


def test_a_cache_that_is_no_folder(
    hub: Hub, big: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for name, value in (("HF_HOME", "/dev/null"), ("HF_HUB_CACHE", str(tmp_path / "file"))):
        monkeypatch.setenv(name, value)
        assert main(["models", "--cached"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"kto-tui: {value}")
        assert "no folder" in err
        assert main(["download", "acme/big"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("kto-tui: acme/big: The hub's cache ")


def test_a_folder_needs_no_download(hub: Hub, tiny: Path) -> None:
    done = kto("download", str(tiny))
    assert done.returncode == 2
    assert "a folder already" in done.stderr


def test_an_empty_cache_is_said(hub: Hub) -> None:
    done = kto("models", "--cached")
    assert done.returncode == 0
    assert "nothing in" in done.stdout
    assert msgspec.json.decode(kto("models", "--cached", "--json").stdout) == []
