"""Which files are fetched, from listings as repositories really have them."""

import pytest

from kto_tui.hub.selection import MARGIN_BYTES, lacks_room, training_files

WORDS = ["config.json", "tokenizer.json"]
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
BINS = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
DOTTED = ["model.safetensors-00001-of-00001.safetensors"]


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        (["model.safetensors", "README.md", ".gitattributes", "demo.png"], ["model.safetensors"]),
        ([*SHARDS, INDEX], [INDEX, *SHARDS]),
        (["model.safetensors", *SHARDS, INDEX], ["model.safetensors"]),
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        ([*SHARDS, INDEX, *BINS, BIN_INDEX], [INDEX, *SHARDS]),
        ([*DOTTED, INDEX], [INDEX, *DOTTED]),
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
        ([*BINS, BIN_INDEX], [BIN_INDEX, *BINS]),
        (["model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (["model.safetensors", "original/params.json", "onnx/model.onnx", "x.gguf"], ["model.safetensors"]),
        (["model.safetensors", "onnx/config.json", "tokenizer/vocab.json", "modeling_x.py"], ["model.safetensors"]),
        (
            ["model.safetensors", "LICENSE.txt", "USE_POLICY.md", "chat_template.jinja", "generation_config.json"],
            ["LICENSE.txt", "USE_POLICY.md", "chat_template.jinja", "generation_config.json", "model.safetensors"],
        ),
    ],
)
def test_one_set_of_weights_and_what_goes_with_it(others: list[str], taken: list[str]) -> None:
    assert set(training_files([*WORDS, *others])) == {*WORDS, *taken}
    assert training_files([*WORDS, *others])[-1] == taken[-1], "weights come last"


@pytest.mark.parametrize(
    "names", [[], WORDS, ["model.safetensors"], [*WORDS, "x.gguf"], ["config.json", "model.safetensors"]]
)
def test_what_cannot_be_trained_is_not_fetched(names: list[str]) -> None:
    assert training_files(names) == []


@pytest.mark.parametrize(
    ("missing", "free", "lacks"),
    [(0, 0, False), (1, 0, True), (1, MARGIN_BYTES, True), (1, MARGIN_BYTES + 1, False)],
)
def test_room(missing: int, free: int, *, lacks: bool) -> None:
    assert lacks_room(missing, free) is lacks
