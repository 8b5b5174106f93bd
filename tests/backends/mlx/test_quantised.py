"""Quantised base models: mlx-community's folders as they are, and original ones quantised while they are loaded."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx_lm
import msgspec
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from kto_tui.backends.mlx.device import Device
from kto_tui.backends.mlx.lora import adapted, attach, parameter_counts
from kto_tui.backends.mlx.model import Quantised, load_base
from kto_tui.catalog import read_local
from kto_tui.errors import UserError
from kto_tui.memory.mlx import weight_bytes_mlx
from tests.backends.kto.conftest import Bench
from tests.backends.mlx.models import gap, mlx_logits
from tests.backends.mlx.trainings import FP32, RECIPE, mlx_trainer, take_steps
from tests.tiny import make_model

Checkpoint = Callable[..., Path]
LEARNS = msgspec.structs.replace(RECIPE, learning_rate=1e-2, epochs=10)


def community(folder: Path, into: Path, bits: int) -> Path:
    """As mlx-community makes its checkpoints: ``mlx_lm.convert -q``."""
    mlx_lm.convert(str(folder), str(into), quantize=True, q_bits=bits)
    return into


def learns(it: Bench, base: object) -> None:
    trainer = mlx_trainer(base, it.prepared.windows, LEARNS)
    losses = [step.loss for step in take_steps(trainer)]
    # The same two windows, over and over.
    assert np.mean(losses[:2]) - np.mean(losses[-2:]) > 0.05, losses


@pytest.mark.parametrize("bits", [4, 8])
def test_a_folder_of_mlx_communitys_trains(checkpoint: Checkpoint, tmp_path: Path, bits: int) -> None:
    folder = community(checkpoint("llama"), tmp_path / "quantised", bits)
    base = load_base(folder, LEARNS, FP32, "tiny")
    assert base.quantised == Quantised(bits, 15, 15)
    assert f"quantised to {bits} bits already" in base.notes[0]
    attach(base.model, LEARNS)
    assert all(isinstance(layer.linear, nn.QuantizedLinear) for _, layer in adapted(base.model))
    learns(Bench(checkpoint("llama"), tmp_path, rows=16), base.model)


@pytest.mark.parametrize("bits", [4, 8])
def test_an_original_model_is_quantised_while_it_is_loaded(checkpoint: Checkpoint, tmp_path: Path, bits: int) -> None:
    recipe = msgspec.structs.replace(LEARNS, quantization=f"int{bits}")
    base = load_base(checkpoint("llama"), recipe, FP32, "tiny")
    assert (base.quantised, base.notes) == (Quantised(bits, 15, 15), ())
    same = load_base(community(checkpoint("llama"), tmp_path / "quantised", bits), LEARNS, FP32, "tiny")
    assert gap(mlx_logits(base.model), mlx_logits(same.model)) < 1e-5
    exact = load_base(checkpoint("llama"), LEARNS, FP32, "tiny")
    assert gap(mlx_logits(base.model), mlx_logits(exact.model)) > 1e-4, "else nothing was quantised"
    attach(base.model, recipe)
    learns(Bench(checkpoint("llama"), tmp_path, rows=16), base.model)


def test_layers_that_are_no_whole_groups_wide_are_left_and_told(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "odd", intermediate_size=104)
    recipe = msgspec.structs.replace(LEARNS, quantization="int4")
    base = load_base(folder, recipe, FP32, "tiny")
    # Of 2 layers each down_proj stays.
    assert base.quantised == Quantised(4, 13, 15)
    assert base.quantised.word == "4-bit in part"
    assert base.notes == ("int4 leaves 2 of 15 layers as they are: their inputs are no multiple of 64",)
    held = sum(each.nbytes for _, each in tree_flatten(base.model.parameters()))
    assert weight_bytes_mlx(read_local(folder), recipe, element=4) == held
    written = load_base(community(folder, tmp_path / "quantised", 4), LEARNS, FP32, "tiny")
    assert written.quantised == base.quantised


@pytest.mark.parametrize("kind", ["llama", "olmo2"])
def test_a_quantisation_of_nothing_is_refused(tmp_path: Path, kind: str) -> None:
    """Told by the shape alone where that says all, else once the layers are there."""
    folder = make_model(tmp_path / "narrow", kind=kind, hidden_size=48, intermediate_size=104)
    with pytest.raises(UserError, match=r"int4 would quantise nothing of this model.*\(48, 104\)") as caught:
        load_base(folder, msgspec.structs.replace(RECIPE, quantization="int4"), FP32, "tiny")
    assert caught.value.mend == "Set quantization to none"


def test_what_is_quantised_is_not_quantised_again(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = community(checkpoint("llama"), tmp_path / "quantised", 4)
    with pytest.raises(UserError, match="quantised already") as caught:
        load_base(folder, msgspec.structs.replace(RECIPE, quantization="int8"), FP32, "tiny")
    assert "quantization to none" in caught.value.mend


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_a_quantised_folder_computes_in_the_precision_of_the_run(
    checkpoint: Checkpoint, tmp_path: Path, stored: str
) -> None:
    folder = tmp_path / "quantised"
    mlx_lm.convert(str(checkpoint("llama")), str(folder), quantize=True, q_bits=4, dtype=stored)
    bf16 = Device("cpu", mx.bfloat16, "bf16")
    for device in (FP32, bf16):
        base = load_base(folder, RECIPE, device, "tiny")
        held = sum(each.nbytes for _, each in tree_flatten(base.model.parameters()))
        assert weight_bytes_mlx(read_local(folder), RECIPE, element=device.dtype.size) == held
        assert {each.dtype for _, each in tree_flatten(base.model.parameters())} == {device.dtype, mx.uint32}
        assert base.model(mx.array([[1, 2, 3]])).dtype == device.dtype
        rounded = device is bf16 and stored == "float16"
        assert any("scales are fp16" in note for note in base.notes) == rounded


def test_all_parameters_are_those_of_base_model_and_adapters(checkpoint: Checkpoint) -> None:
    weights = sum(
        each.size for _, each in tree_flatten(load_base(checkpoint(), RECIPE, FP32, "tiny").model.parameters())
    )
    for changes in ({}, {"use_dora": True}, {"quantization": "int4"}):
        recipe = msgspec.structs.replace(RECIPE, **changes)
        model = load_base(checkpoint(), recipe, FP32, "tiny").model
        trained = attach(model, recipe)
        assert parameter_counts(model) == (trained, weights + trained)
