"""The tracer's command on rows in the vocabulary of published measurements."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kto_tui.memory.trace.__main__ import main
from kto_tui.memory.trace.peak import Prediction, predict
from kto_tui.memory.trace.settings import Measured

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*_check_is_size.*")
SHAPE = {
    "architecture": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 640,
    "vocab_size": 3200,
    "tie_word_embeddings": False,
}
SFT = {
    "id": "sft",
    "source": "by hand",
    "device": "a card",
    "model": "a model",
    "loop": "sft",
    "head": "full_logits",
    "batch": 2,
    "seq_len": 64,
    "allocated_gib": 0.5,
    "reserved_gib": None,
    "shape": SHAPE,
    "weights_dtype": "float16",
    "quantization": "nf4",
    "kbit_upcast": True,
    "adapter": "lora",
    "rank": 16,
    "targets": ["q_proj", "v_proj"],
    "adapter_dtype": "float32",
    "autocast": None,
    "attention": "sdpa",
    "kv_repeated_in_sdpa": True,
    "gradient_checkpointing": True,
    "optimizer": "adamw",
    "foreach": False,
    "zero_grad": "to none, before the forward",
    "workspace_mib": 16.25,
    "repeat_of_another_row": False,
}
KTO = {
    **SFT,
    "id": "kto",
    "loop": "kto",
    "head": "fused",
    "quantization": "none",
    "kbit_upcast": False,
    "targets": "all-linear",
    "autocast": "bfloat16",
    "weights_dtype": "bfloat16",
    "allocated_gib": None,
}
FULL = {
    **SFT,
    "id": "full",
    "adapter": "full",
    "quantization": "none",
    "kbit_upcast": False,
    "rank": None,
    "targets": None,
    "adapter_dtype": None,
}


def write(file: Path, *rows: dict[str, Any] | str) -> Path:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return file


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kto_tui.memory.trace", *args],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
    )


def changed(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**row, **changes}


def bytes_of(row: dict[str, Any]) -> int:
    return predicted(row).peak_bytes


def predicted(row: dict[str, Any]) -> Prediction:
    return _predicted(json.dumps(row))


@functools.cache  # several tests start from the same rows, and a trace takes a second
def _predicted(row: str) -> Prediction:
    values = json.loads(row)
    return predict(msgspec.convert({**values, "shape": {**values["shape"], "extra": {}}}, Measured))


def test_two_rows_are_predicted_as_json(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", SFT, "", KTO)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    done = run("--configs", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert [set(one) for one in found] == [{"id", "predicted_gib", "measured_gib"}] * 2
    assert [(one["id"], one["measured_gib"]) for one in found] == [("sft", 0.5), ("kto", None)]
    assert found[0]["predicted_gib"] == round(bytes_of(SFT) / 2**30, 4)
    assert found[1]["predicted_gib"] == round(bytes_of(KTO) / 2**30, 4)


def test_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--configs", str(write(tmp_path / "rows.jsonl", SFT, KTO))]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "predicted", "measured", "error"]
    assert first.split()[0] == "sft"
    assert first.endswith("%")
    assert second.split()[2] == "unknown"


WITHOUT_ID = {name: value for name, value in SFT.items() if name != "id"}
WITHOUT_HEAD_DIM = {name: value for name, value in SHAPE.items() if name != "head_dim"}
REFUSED: dict[str, tuple[dict[str, Any] | str, str]] = {
    "unknown field": (changed(SFT, packing=True), "packing"),
    "unknown loop": (changed(SFT, loop="dpo"), "loop"),
    "unknown quantisation": (changed(SFT, quantization="fp4"), "quantization"),
    "unknown dtype": (changed(SFT, weights_dtype="float8"), "weights_dtype"),
    "unknown optimizer": (changed(SFT, optimizer="lion"), "optimizer"),
    "unknown attention": (changed(SFT, attention="flash_attention_4"), "attention"),
    "unknown shape key": (changed(SFT, shape={**SHAPE, "layers": 3}), "layers"),
    "unknown architecture": (changed(SFT, shape={**SHAPE, "architecture": "lama"}), "lama"),
    "architecture of another kind": (changed(SFT, shape={**SHAPE, "architecture": "t5"}), "t5"),
    "kto with full logits": (changed(KTO, head="full_logits"), "full_logits"),
    "sft with a fused head": (changed(SFT, head="fused"), "fused"),
    "lora without rank": (changed(SFT, rank=None), "rank"),
    "lora without targets": (changed(SFT, targets=None), "targets"),
    "lora with no targets": (changed(SFT, targets=[]), "targets"),
    "lora without a dtype": (changed(SFT, adapter_dtype=None), "adapter_dtype"),
    "full with rank": (changed(FULL, rank=8), "rank"),
    "full and quantised": (changed(FULL, quantization="nf4"), "quantization"),
    "full kto": (changed(FULL, loop="kto", head="fused"), "full"),
    "double quantisation of nothing": (changed(KTO, double_quant=True), "double_quant"),
    "double quantisation of int8": (changed(SFT, quantization="int8", double_quant=True), "double_quant"),
    "upcast without quantisation": (changed(KTO, kbit_upcast=True), "kbit_upcast"),
    "no such targets": (changed(SFT, targets=["c_attn"]), "c_attn"),
    "no rows": (changed(SFT, batch=0), "batch"),
    "negative rows": (changed(SFT, batch=-2), "batch"),
    "negative length": (changed(SFT, seq_len=-1), "seq_len"),
    "one token": (changed(SFT, seq_len=1), "seq_len"),
    "negative rank": (changed(SFT, rank=-16), "rank"),
    "negative layers": (changed(SFT, shape={**SHAPE, "num_hidden_layers": -2}), "num_hidden_layers"),
    "negative workspace": (changed(SFT, workspace_mib=-1), "workspace_mib"),
    "not a number": (changed(SFT, workspace_mib=float("nan")), "NaN is not a number"),
    "nothing measured": (changed(SFT, allocated_gib=float("nan")), "write null"),
    "infinite workspace": (changed(SFT, workspace_mib=float("inf")), "Infinity is not a number"),
    "a target twice": (changed(SFT, targets=["q_proj", "v_proj", "q_proj"]), "q_proj more than once"),
    "half a row": (changed(SFT, batch=1.5), "batch"),
    "a number as text": (changed(SFT, seq_len="1024"), "seq_len"),
    "heads that do not divide": (changed(SFT, shape={**SHAPE, "num_key_value_heads": 3}), "8 query heads"),
    "heads of odd size": (changed(SFT, shape={**SHAPE, "head_dim": 33}), "even"),
    "no such attention": (changed(SFT, shape={**SHAPE, "architecture": "gemma2"}), "sdpa"),
    "missing key": (WITHOUT_ID, "id"),
    "missing shape key": (changed(SFT, shape=WITHOUT_HEAD_DIM), "head_dim"),
    "no shape": (changed(SFT, shape=None), "shape"),
    "a list": ("[1, 2]", "object"),
    "broken json": ('{"id": "x", ', "line 2"),
    "nested without end": ("[" * 100_000, "line 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_that_cannot_be_traced_is_an_error_and_not_a_guess(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, word = REFUSED[name]
    file = write(tmp_path / "rows.jsonl", "", row)
    assert main(["--configs", str(file), "--json"]) == 2
    out, sentence = capsys.readouterr()
    assert out == ""
    assert sentence.startswith(f"kto-tui: {file}, line 2")
    assert sentence.count("\n") == 1
    assert word in sentence


def test_the_command_ends_with_one_sentence_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--configs", str(write(tmp_path / "rows.jsonl", REFUSED["no such targets"][0])), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "rows.jsonl, line 1" in err
    assert err.startswith("kto-tui: ")
    assert err.count("\n") == 1, err


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    if content is not None:
        file.write_bytes(content)
    assert main(["--configs", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


# What is known of memory


@pytest.mark.parametrize("row", [SFT, KTO, FULL], ids=["sft", "kto", "full"])
@pytest.mark.parametrize("name", ["batch", "seq_len", "rank", "num_hidden_layers"])
def test_more_never_needs_less(row: dict[str, Any], name: str) -> None:
    if name == "rank" and row is FULL:
        return
    if name == "num_hidden_layers":
        sizes = [bytes_of(changed(row, shape={**SHAPE, name: count})) for count in (1, 2)]
    else:
        sizes = [bytes_of(changed(row, **{name: factor * row[name]})) for factor in (1, 2)]
    assert sizes[0] < sizes[1]


NO_UPCAST = changed(SFT, kbit_upcast=False)
LESS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nf4 than int8": (NO_UPCAST, changed(NO_UPCAST, quantization="int8")),
    "int8 than none": (changed(NO_UPCAST, quantization="int8"), changed(NO_UPCAST, quantization="none")),
    "double quantisation than single": (changed(NO_UPCAST, double_quant=True), NO_UPCAST),
    "16 bits than an upcast": (NO_UPCAST, SFT),
    "checkpointing than none": (SFT, changed(SFT, gradient_checkpointing=False)),
    "8-bit states than AdamW's": (changed(FULL, optimizer="adamw_8bit"), FULL),
    "paged states than 8-bit ones": (
        changed(FULL, optimizer="paged_adamw_8bit"),
        changed(FULL, optimizer="adamw_8bit"),
    ),
    "16 bits than 32": (KTO, changed(KTO, weights_dtype="float32", autocast=None)),
    "fewer targets than all": (SFT, changed(SFT, targets="all-linear")),
    "a fused head than full logits": (KTO, changed(KTO, loop="sft", head="full_logits", batch=8)),
    "one tensor at a time than all at once": (FULL, changed(FULL, foreach=True)),
    "an adapter than everything": (NO_UPCAST, FULL),
}


@pytest.mark.parametrize("name", LESS)
def test_what_saves_memory(name: str) -> None:
    less, more = LESS[name]
    assert bytes_of(less) < bytes_of(more)


def test_float16_and_bfloat16_need_the_same() -> None:
    for row in (KTO, FULL, NO_UPCAST):
        one, two = (bytes_of(changed(row, weights_dtype=name, autocast=None)) for name in ("float16", "bfloat16"))
        assert one == two


def test_parts_and_phases() -> None:
    found = predicted(SFT)
    assert set(found.phases) >= {"forward", "backward", "optimizer"}
    assert found.peak_bytes == max(found.phases.values())
    assert found.parts["workspace"] == round(16.25 * 2**20)
    linear = 2 * (2 * 256 * 256 + 2 * 256 * 64 + 3 * 256 * 640)
    rest = 2 * 3200 * 256 + 5 * 256
    assert found.parts["weights"] == pytest.approx(linear * (0.5 + 4 / 64) + 4 * rest, rel=0.02), "upcast to float32"
    assert found.parts["adapter"] == 2 * 4 * 16 * (256 + 256 + 256 + 64)
    assert {"kl", "reference"} <= set(predicted(KTO).phases)


@settings(max_examples=8)
@given(st.integers(1, 4), st.integers(2, 96), st.integers(1, 64), st.booleans())
def test_any_small_row_has_a_finite_peak(batch: int, length: int, rank: int, checkpointing: bool) -> None:
    row = changed(SFT, batch=batch, seq_len=length, rank=rank, gradient_checkpointing=checkpointing)
    found = predicted(row)
    assert found.peak_bytes > found.parts["weights"] > 0
    assert all(value >= 0 for value in found.parts.values())
