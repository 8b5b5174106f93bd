"""The catalog as it is offered: ordered by verdict, narrowed by words, marked, one of them proposed."""

import json
from pathlib import Path

import msgspec
import pytest

from kto_tui.catalog import find, load_catalog
from kto_tui.draft import Draft, starter_draft
from kto_tui.hardware import Hardware
from kto_tui.hardware.presets import hardware_presets, load_hardware
from kto_tui.starter import MODEL_ID
from kto_tui.tui.candidates import LARGEST_PROPOSED, ORDER, Candidate, consider, in_order, proposed_model, shown
from tests.tui.machines import LAPTOP, RTX_3070

ALL = len(load_catalog())


def offered(hardware: Hardware) -> list[Candidate]:
    return in_order(consider(Draft(hardware=hardware), load_catalog()))


def with_free(hardware: Hardware, free: int | None) -> Hardware:
    return msgspec.structs.replace(hardware, gpus=(msgspec.structs.replace(hardware.gpus[0], free_bytes=free),))


@pytest.fixture(scope="module")
def on_3070() -> list[Candidate]:
    return offered(load_hardware("rtx-3070-8gb"))


@pytest.mark.parametrize("name", ["rtx-3070-8gb", "mac-m4-24gb", "h100-80gb"])
def test_what_fits_comes_first_and_the_largest_of_it_before_the_rest(name: str) -> None:
    rows = offered(load_hardware(name))
    assert len(rows) == ALL
    verdicts = [ORDER.index(row.plan.verdict) for row in rows]
    assert verdicts == sorted(verdicts)
    by_verdict = {word: [row for row in rows if row.plan.verdict == word] for word in ORDER}
    assert by_verdict["FITS"]
    for word in ("FITS", "TIGHT"):
        sizes = [row.model.parameters or 0 for row in by_verdict[word]]
        assert sizes == sorted(sizes, reverse=True)
    lacking = [row.needs or 0 for row in by_verdict["NO"]]
    assert lacking == sorted(lacking), "of those that do not fit the nearest comes first"


def test_what_does_not_fit_is_hidden_until_it_is_asked_for(on_3070: list[Candidate]) -> None:
    usual, hidden = shown(on_3070, "", with_no=False)
    assert {row.plan.verdict for row in usual} <= {"FITS", "TIGHT"}
    assert hidden == ALL - len(usual) > 0
    assert shown(on_3070, "", with_no=True) == (on_3070, 0)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("mistral-nemo", {"mistralai/Mistral-Nemo-Instruct-2407"}),
        ("  MICROSOFT  mini 4 ", {"microsoft/Phi-4-mini-instruct"}),
        ("qwen-research", {"Qwen/Qwen2.5-3B-Instruct"}),
        ("gpt_oss", {"openai/gpt-oss-20b"}),
        ("mistral nonsense", set()),
    ],
)
def test_every_word_typed_must_occur(on_3070: list[Candidate], words: str, found: set[str]) -> None:
    """Hidden ones too where nothing else has the words: whoever asks for a model by name gets an answer."""
    assert {row.model.id for row in shown(on_3070, words, with_no=False)[0]} == found


@pytest.mark.parametrize("word", ["reasoning", "gated", "unverified", "mit", "llama3.2"])
def test_use_licence_and_marks_are_words_too(on_3070: list[Candidate], word: str) -> None:
    rows = shown(on_3070, word, with_no=True)[0]
    assert 0 < len(rows) < ALL
    for row in rows:
        assert word in row.marks or word in f"{row.model.use} {row.model.licence} {row.model.id}".lower()


@pytest.mark.parametrize("name", hardware_presets())
def test_the_proposal_is_one_we_would_start_with(name: str) -> None:
    hardware = load_hardware(name)
    rows = offered(hardware)
    proposed = next(row for row in rows if row.model.id == proposed_model(rows, hardware.device))
    model = proposed.model
    if hardware.device == "cpu":
        assert model.id == MODEL_ID
        return
    assert proposed.plan.verdict == "FITS"
    assert model.verified
    assert not model.gated
    assert model.chat_template is not None
    assert model.supported
    assert not {"gated", "non-commercial", "unverified"} & {*proposed.marks}
    assert (model.parameters or 0) <= LARGEST_PROPOSED


def test_the_starter_is_proposed_on_a_processor_and_where_nothing_fits() -> None:
    assert proposed_model(offered(LAPTOP), "cpu") == MODEL_ID
    full = offered(with_free(RTX_3070, 0))
    assert {row.plan.verdict for row in full} == {"NO"}
    assert proposed_model(full, "cuda") == MODEL_ID
    assert shown(full, "", with_no=False) == (full, 0), "where nothing fits everything is shown"


def test_unknown_free_memory_is_unknown_for_every_model() -> None:
    rows = offered(with_free(RTX_3070, None))
    assert {row.plan.verdict for row in rows} == {"UNKNOWN"}
    assert all(row.needs for row in rows), "what it needs is known all the same"
    assert len(shown(rows, "", with_no=False)[0]) == ALL


def test_what_is_in_the_cache_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    name = "Qwen/Qwen2.5-0.5B-Instruct"
    model = find(name)
    assert model is not None
    before = consider(Draft(hardware=RTX_3070), [model])[0]
    snapshot = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    for file in ("config.json", "tokenizer.json"):
        (snapshot / file).write_text(json.dumps({}))
    unfinished = consider(Draft(hardware=RTX_3070), [model])[0]
    (snapshot / "model.safetensors").write_bytes(b"x")
    after = consider(Draft(hardware=RTX_3070), [model])[0]
    assert ["here" in one.marks for one in (before, unfinished, after)] == [False, False, True]


def test_the_plans_are_those_of_the_recipe_screen() -> None:
    """Data, and what was set by hand, count here already; what no longer goes together does not."""
    draft = msgspec.structs.replace(starter_draft(RTX_3070), overrides={"max_length": 64, "lora_rank": 4})
    assert draft.model is not None
    recipe = consider(draft, [draft.model])[0].plan.recipe
    assert (recipe.max_length, recipe.lora_rank) == (64, 4)
    broken = msgspec.structs.replace(draft, overrides={"micro_batch": 1000, "lora_rank": 4})
    assert consider(broken, [draft.model])[0].plan.recipe.lora_rank == 16
