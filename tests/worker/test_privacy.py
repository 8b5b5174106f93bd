"""What a run writes is for its owner alone, and no token gets into any of it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from kto_tui.crash import record
from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.paths import cache_home, make_private
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig, RunRequest
from kto_tui.runs.folder import RunFolder, create_run
from kto_tui.runs.launch import start
from kto_tui.secrets import without_secrets
from tests.tiny import make_rows, write_jsonl

PATIENCE_SECONDS = 120.0
CANARY = "hf_canary0123456789abcdefghijkl"
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "SOME_PASSWORD", "AWS_SECRET_ACCESS_KEY")
# What the network library says of a token with a line break in it.
REFUSED = "Illegal header value b'Bearer {}'"


def modes(folder: Path) -> dict[str, str]:
    """The paths below ``folder``, itself among them, that anyone but their owner may do something with."""
    return {str(path): oct(path.stat().st_mode) for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077}


def test_a_run_is_private_and_knows_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "new" / "home"
    monkeypatch.setenv("KTO_TUI_HOME", str(home))
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    model = tmp_path / "model"
    subprocess.run([sys.executable, "-m", "tests.tiny", str(model)], check=True, capture_output=True)
    rows = write_jsonl(tmp_path / "rows.jsonl", make_rows(40))
    overrides = {"effective_batch": 4, "micro_batch": 2, "max_length": 64, "steps": 3, "save_every": 1, "eval_every": 2}
    config = to_config(from_request(RunRequest(model=str(model), data=str(rows), overrides=overrides), detect()))
    before = os.umask(0)
    try:
        run = start(config)
        told = wait_for_the_end(run)
    finally:
        os.umask(before)
    assert run.read_state().adapter is not None, run.log_tail(30)
    assert modes(home.parent) == {}
    assert run.adapter.is_dir()
    assert (cache_home()).is_dir()
    assert not [path for path in home.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert not [line for line in told if CANARY in line]


def wait_for_the_end(run: RunFolder) -> set[str]:
    """Every command line that was seen while the run went on; until nobody does."""
    told: set[str] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run.alive() and time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            told.add(" ".join(process.info["cmdline"] or []))
        time.sleep(0.05)
    assert any("kto_tui.worker" in line for line in told)
    return told


def test_a_model_that_cannot_be_had_is_told_without_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training process fails by an error that quotes the token: neither its last word nor its log does."""
    monkeypatch.setenv("HF_TOKEN", CANARY)
    failing = f"""
import sys
import kto_tui.worker.__main__ as worker
def refuse(name): raise ValueError({REFUSED!r}.format({CANARY!r}))
worker.load_backend = refuse
sys.exit(worker.main(sys.argv[1:]))
"""
    run = create_run(RunConfig(model="org/name", data="starter", recipe=Recipe(), because={}))
    done = subprocess.run(
        [sys.executable, "-c", failing, str(run.path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    ended = run.read_state().ended
    assert ended is not None
    for told in (ended.message, done.stderr):
        assert CANARY not in told
        assert REFUSED.format("<HF_TOKEN>") in told


def test_a_crash_is_recorded_without_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", f"{CANARY}\n")
    try:
        raise ValueError(REFUSED.format(CANARY))  # noqa: TRY301 - a traceback is wanted
    except ValueError as error:
        sentence = record(error)
    (file,) = tmp_path.glob("kto-tui-*.log")
    assert str(file) in sentence
    for told in (sentence, file.read_text(encoding="utf-8")):
        assert CANARY not in told
        assert "<HF_TOKEN>" in told
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "value", "text", "told"),
    [
        ("HF_TOKEN", "hf_abcdefgh", "Bearer hf_abcdefgh!", "Bearer <HF_TOKEN>!"),
        ("WANDB_API_KEY", "0123456789", "key 0123456789", "key <WANDB_API_KEY>"),
        ("db_password", "correct horse", "correct horse", "<db_password>"),
        ("TOKENIZERS_PARALLELISM", "false", "it is false", "it is false"),
        ("SSH_KEY_FILE", "/home/you/.ssh/id", "/home/you/.ssh/id", "/home/you/.ssh/id"),
    ],
)
def test_what_counts_as_a_secret(name: str, value: str, text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert without_secrets(text) == told


def test_missing_folders_are_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_private(tmp_path / "a" / "b")
        make_private(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert modes(tmp_path / "a") == {}
    assert tmp_path.stat().st_mode & 0o777 == 0o755, "what was there stays as it was"
