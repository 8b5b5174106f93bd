"""What a backend would refuse by the configuration alone is not downloaded; the starter model comes without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kto_tui.hub.cache import cached
from kto_tui.hub.download import Download
from kto_tui.hub.updates import Done, Failed
from kto_tui.starter import MODEL_ID, is_whole, source_of, starter_model_folder
from tests.hub.conftest import WEIGHTS
from tests.hub.standin import Hub, Repo

BNB = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
OURS = {"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 64, "bits": 4}}
REFUSED = {
    "architecture": ("mlx", {"model_type": "bloom"}, "mlx-lm has no architecture bloom"),
    "bitsandbytes": ("mlx", {"model_type": "llama", **BNB}, "quantised by bitsandbytes"),
    "for MLX": ("hf", {"model_type": "llama", **OURS}, "quantised by MLX"),
    "activation": ("mlx", {"model_type": "llama", "hidden_act": "relu"}, "does not compute the activation relu"),
    "window": ("mlx", {"model_type": "mixtral", "sliding_window": 99}, "look back 99 tokens"),
}
TAKEN = {
    "for MLX": ("mlx", {"model_type": "llama", **OURS}),
    "window of full length": ("mlx", {"model_type": "mixtral", "sliding_window": 100}),
    "nobody asks": (None, {"model_type": "bloom"}),
    "broken": ("mlx", {}),
}


def outcome(backend: str | None) -> Done | Failed:
    with Download("acme/big", backend=backend, max_length=100) as download:
        last = list(download)[-1]
    assert isinstance(last, Done | Failed)
    return last


@pytest.mark.parametrize(("backend", "config", "what"), REFUSED.values(), ids=REFUSED)
def test_no_weights_are_fetched_of_what_would_be_refused(
    backend: str, config: dict[str, object], what: str, hub: Hub, big: Repo
) -> None:
    big.files["config.json"] = json.dumps(config).encode()
    failed = outcome(backend)
    assert isinstance(failed, Failed)
    assert what in failed.message
    assert failed.mend
    assert not any(WEIGHTS in name for name in hub.served)
    here = cached("acme/big")
    assert here is None or here.size_bytes == len(big.files["config.json"])


@pytest.mark.parametrize(("backend", "config"), TAKEN.values(), ids=TAKEN)
def test_everything_else_comes(backend: str | None, config: dict[str, object], hub: Hub, big: Repo) -> None:
    big.files["config.json"] = json.dumps(config).encode()
    assert isinstance(outcome(backend), Done)


def fetch_starter() -> subprocess.CompletedProcess[str]:
    """Where torch cannot be imported."""
    code = """
import sys
sys.modules["torch"] = None
import kto_tui.backends.hf.starter_model as model
from kto_tui.errors import UserError
model.installed = lambda name: None
try:
    model.ensure_starter_model(print)
except UserError as error:
    sys.exit(str(error))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)


def test_the_starter_model_comes_from_the_hub_without_torch(hub: Hub, tiny: Path) -> None:
    repo = hub.add_folder(MODEL_ID, tiny)
    repo.files["onnx/config.json"] = b"{}"
    done = fetch_starter()
    assert done.returncode == 0, done.stderr
    folder = starter_model_folder()
    source = source_of(folder)
    assert source is not None
    assert source.origin.startswith("the Hugging Face hub")
    assert is_whole(folder)
    assert set(source.files) | {"source.json"} == {path.name for path in folder.iterdir()}
    assert (folder / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert "rope_theta" in json.loads((folder / "config.json").read_text())


def test_without_hub_and_torch_the_starter_model_cannot_be_had(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = fetch_starter()
    assert done.returncode == 1
    assert "unpacked with PyTorch" in done.stderr
