"""Folders that are no model for MLX: one sentence each, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kto_tui.backends.mlx.model
from kto_tui.backends.faults import TrainingError
from kto_tui.backends.mlx.model import load_base
from kto_tui.errors import UserError
from tests.backends.mlx.models import changed
from tests.backends.mlx.trainings import FP32, RECIPE

Checkpoint = Callable[..., Path]
BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True}


def gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.gguf")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100_000])


def no_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def a_tensor_less(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.self_attn.k_proj.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def told(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(text) and None


def told_besides(**config: Any) -> Callable[[Path], None]:
    def tell(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | config))

    return tell


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "gguf": (gguf, "GGUF"),
    "bitsandbytes": (told_besides(quantization_config=BNB), "bitsandbytes"),
    "unknown": (told_besides(model_type="rwkv5"), "rwkv5"),
    "no weights": (no_weights, "safetensors"),
    "pickled": (pickled, "safetensors"),
    "cut off": (short, "load the model"),
    "no header": (no_header, "Damaged"),
    "empty": (empty, "Damaged"),
    "a tensor less": (a_tensor_less, "k_proj"),
    "config cut off": (told('{"model_type": "llama", '), "cannot be read"),
    "config a list": (told("[1]"), "cannot be read"),
    "config without an architecture": (told("{}"), "model_type"),
    "no layers": (told_besides(num_hidden_layers=None), "load the model"),
    "more layers": (told_besides(num_hidden_layers=3), "the weight files hold"),
    "text for a number": (told_besides(hidden_size="64"), "hidden_size"),
    "no words": (told_besides(vocab_size=None), "load the model"),
    "odd rope": (told_besides(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}), "load the model"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    spoil, words = BAD[name]
    folder = changed(checkpoint("llama"), tmp_path / "model")
    spoil(folder)
    with pytest.raises(UserError) as caught:
        load_base(folder, RECIPE, FP32, "tiny")
    sentence = str(caught.value)
    assert words in sentence, sentence
    assert str(folder) in sentence
    assert "\n" not in sentence


def test_no_config_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_base(tmp_path, RECIPE, FP32, "tiny")


@pytest.mark.parametrize(
    "said",  # as MLX says it on Metal; constructed, for no processor says it
    [
        "[metal::malloc] Attempting to allocate 99 bytes which is greater than the maximum allowed buffer size of 9",
        "[METAL] Command buffer execution failed: Insufficient Memory (00000008:...)",
    ],
)
def test_a_lack_of_memory_stays_one(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(kto_tui.backends.mlx.model, "load_model", load)
    with pytest.raises(TrainingError, match="does not hold the model") as caught:
        load_base(checkpoint("llama"), RECIPE, FP32, "tiny")
    assert caught.value.cause == "out_of_memory"


def test_what_nobody_foresaw_is_no_fault_of_the_model(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(kto_tui.backends.mlx.model, "load_model", load)
    with pytest.raises(ZeroDivisionError):
        load_base(checkpoint("llama"), RECIPE, FP32, "tiny")
