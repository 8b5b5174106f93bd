"""``kto-tui fuse`` as a person meets it: what it says, and what it will not do; nothing half-written is left."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kto_tui.backends.fuse.__main__ import attempt, fuse
from kto_tui.backends.training.reference import model_fingerprint
from kto_tui.errors import UserError
from kto_tui.runs.checkpoints import Manifest, begin, seal
from kto_tui.runs.fusion import Failed
from tests.backends.mlx.models import changed, run_of, tuned
from tests.runs.made import made_run

Checkpoint = Callable[..., Path]


def kto(*args: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kto_tui", *args],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )  # fmt: skip


def test_the_command(checkpoint: Checkpoint, tmp_path: Path) -> None:
    run_of(checkpoint("llama"), tuned(checkpoint("llama")))
    told = kto("fuse", "bold", str(tmp_path / "fused"))
    assert told.returncode == 0, told.stderr
    assert str(tmp_path / "fused") in told.stdout.splitlines()[-1]
    again = kto("fuse", "bold", str(tmp_path / "fused"))
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "Something is there already" in again.stderr
    gguf = kto("fuse", "bold", str(tmp_path / "gguf"), "--format", "gguf")
    assert (gguf.returncode, gguf.stderr.count("\n")) == (2, 1)
    assert "convert_hf_to_gguf.py" in gguf.stderr
    assert not (tmp_path / "gguf").exists()


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    run_of(checkpoint("llama"), tuned(checkpoint("llama")))
    (tmp_path / "full").mkdir()
    told = kto("fuse", "bold", str(tmp_path / "full" / "fused"), limit=200_000)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "File too large" in told.stderr
    assert not list((tmp_path / "full").iterdir())


def test_what_cannot_be_fused(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = changed(checkpoint("llama"), tmp_path / "base")
    run, target = run_of(folder, tuned(folder)), tmp_path / "fused"

    def refused(*, gguf: bool = False) -> str:
        with pytest.raises(UserError) as caught:
            fuse(run, target, lambda *_: None, gguf=gguf)
        assert not target.exists()
        assert not list(tmp_path.glob(".fused*"))
        return str(caught.value)

    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        assert "1 KiB of disk are free" in refused()
    adapter = run.adapter / "adapter_config.json"
    settings = adapter.read_text()
    adapter.write_text(json.dumps(json.loads(settings) | {"rank_pattern": {"q_proj": 2}}))
    assert "merge_and_unload" in refused()
    adapter.write_text("{")
    assert "cannot be read" in refused()
    adapter.unlink()
    assert "for mlx-lm alone" in refused()
    adapter.write_text(settings)
    assert "convert_hf_to_gguf.py" in refused(gguf=True)
    described = (folder / "config.json").read_text()
    quantised = json.loads(described) | {"quantization": {"bits": 4, "group_size": 64}}
    (folder / "config.json").write_text(json.dumps(quantised))
    assert "quantised weights cannot be fused to GGUF" in refused(gguf=True)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "Damaged" in refused()
    weights.unlink()
    assert "no safetensors" in refused()
    (folder / "config.json").unlink()
    assert "not here any more" in refused()
    target = tmp_path / "nowhere" / "fused"
    run = made_run("calm-owl")
    assert "saved no adapter" in refused()


def test_another_base_model_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    run = run_of(checkpoint("llama"), tuned(checkpoint("llama")))
    config = run.adapter / "adapter_config.json"
    other = json.loads(config.read_text()) | {"base_model_name_or_path": str(checkpoint("phi3"))}
    config.write_text(json.dumps(other))
    last = attempt(run, tmp_path / "fused", lambda *_: None, gguf=False)
    assert isinstance(last, Failed)
    assert "which the adapter changes" in last.what


def test_a_base_model_that_has_changed_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = changed(checkpoint("llama"), tmp_path / "base")
    run = run_of(folder, tuned(folder))
    belongs = {"model": model_fingerprint(folder, strict=False)}
    manifest = Manifest(
        step=1, total_steps=9, epoch=0, window=1, versions={}, fingerprints=belongs, recipe={}
    )  # fmt: skip
    seal(begin(run, 1), run, manifest)
    moved = changed(folder, tmp_path / "moved")
    assert attempt(run, tmp_path / "fused", lambda *_: None, gguf=False).path == str(tmp_path / "fused")
    folder.rename(tmp_path / "away")
    moved.rename(folder)  # the same names, sizes and shapes, and other weights
    last = attempt(run, tmp_path / "again", lambda *_: None, gguf=False)
    assert isinstance(last, Failed)
    assert "has changed since" in last.what
