"""Who trains when nobody has said, and what the plan then says."""

import msgspec
import pytest

from kto_tui import backend_choice, environment
from kto_tui import draft as drafts
from kto_tui.backend_choice import Choice, choose_backend
from kto_tui.catalog import ModelSpec, find
from kto_tui.errors import UserError
from kto_tui.hardware.presets import load_hardware
from kto_tui.planner import load_presets, propose
from kto_tui.recipe import check_recipe
from kto_tui.runs.config import RunRequest, to_toml
from tests.memory.places import MACHINES

MAC, CPU = MACHINES["Mac"], MACHINES["CPU bf16"]
PLANNED = load_hardware("mac-m4-24gb")
SMALL = find("Qwen/Qwen2.5-0.5B-Instruct")
assert SMALL is not None
TROUBLE = UserError("mlx 0.29.3 is too old", mend="upgrade")
BLOOM = msgspec.structs.replace(SMALL, id="org/bloom", model_type="bloom", quantised=None)
OURS = ModelSpec(id="mlx-community/small-4bit", title="small", model_type="llama", quantised="mlx")


def test_apple_silicon_trains_with_mlx_where_it_can() -> None:
    assert choose_backend(MAC) == Choice("mlx", "Apple Silicon")
    assert choose_backend(MAC, trouble=TROUBLE) == Choice("hf", "not MLX: mlx 0.29.3 is too old")
    assert choose_backend(PLANNED, trouble=TROUBLE).name == "mlx", "what is missing here says nothing of that machine"
    because = "not MLX: mlx-lm has no architecture bloom that can be trained"
    assert choose_backend(MAC, model=BLOOM) == Choice("hf", because)


@pytest.mark.parametrize("name", [name for name in MACHINES if name != "Mac"])
def test_elsewhere_there_is_nothing_to_choose(name: str) -> None:
    assert choose_backend(MACHINES[name]) == Choice("hf")


def test_a_run_file_wins() -> None:
    assert choose_backend(CPU, asked="mlx").name == "mlx"
    assert choose_backend(MAC, asked="hf", model=OURS) == Choice("hf", "named in the run file")


def test_a_plan_for_mlx_keeps_to_what_mlx_has() -> None:
    for machine, words, precision in ((MAC, "MLX on Metal", "bf16"), (CPU, "MLX on the processor", "fp32")):
        plan = propose(SMALL, machine, backend="mlx")
        assert (plan.backend, plan.recipe.precision, plan.verdict) == (words, precision, "FITS")
        assert "MLX" in plan.because["precision"]
        assert plan.predicted is not None
    for preset in load_presets().values():
        plan = propose(SMALL, MACHINES["T4"], preset=preset, backend="mlx")
        assert plan.recipe.quantization != "nf4"
        assert plan.recipe.optimizer == "adamw_torch"
        check_recipe(plan.recipe)


def test_a_plan_says_what_its_backend_refuses() -> None:
    def said(model: ModelSpec, backend: str, **overrides: object) -> str:
        plan = propose(model, MAC, backend=backend, overrides=overrides)
        assert plan.verdict == "NO"
        return plan.verdict_because

    assert "no architecture bloom that can be trained; choose another model" in said(BLOOM, "mlx")
    assert "Transformers cannot read" in said(OURS, "hf")
    assert "quantised already (mlx); set quantization to none" in said(OURS, "mlx", quantization="int4")
    assert "int4" in said(SMALL, "mlx", quantization="nf4")
    assert propose(BLOOM, MAC, backend="hf").verdict != "NO"
    assert propose(OURS, MAC, backend="mlx").verdict == "UNKNOWN"


def test_the_run_file_says_who_trains_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_choice, "mlx_refusal_here", lambda: None)
    draft = drafts.starter_draft(MAC)
    text = to_toml(drafts.to_config(draft))
    assert 'backend = "mlx"\n' in text
    assert 'backend = "Apple Silicon"\n' in text
    monkeypatch.setattr(backend_choice, "mlx_refusal_here", lambda: TROUBLE)
    assert drafts.to_config(draft).backend == "hf"
    assert "backend" not in drafts.to_config(drafts.starter_draft(CPU)).because


def test_nothing_starts_that_the_backend_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "require_training", lambda backend: None)
    request = RunRequest(model=SMALL.id, data="starter", backend="mlx")
    draft = drafts.from_request(request, CPU)
    assert draft.backend == Choice("mlx", "named in the run file")
    drafts.check_trainable(draft)
    with pytest.raises(UserError, match="no architecture bloom"):
        drafts.check_trainable(msgspec.structs.replace(draft, model=BLOOM))
    with pytest.raises(UserError, match="quantised already"):
        drafts.check_trainable(msgspec.structs.replace(draft, model=OURS, overrides={"quantization": "int8"}))


@pytest.mark.parametrize(
    ("backend", "setting", "value"),
    [
        ("mlx", "quantization", "nf4"),
        ("mlx", "precision", "fp16"),
        ("mlx", "optimizer", "paged_adamw_8bit"),
        ("hf", "method", "sft"),
        ("hf", "use_dora", True),
        ("hf", "quantization", "int4"),
    ],
)
def test_a_setting_that_the_backend_has_not_is_refused_before_a_run_begins(
    monkeypatch: pytest.MonkeyPatch, backend: str, setting: str, value: object
) -> None:
    monkeypatch.setattr(drafts, "require_training", lambda backend: None)
    request = RunRequest(model=SMALL.id, data="starter", backend=backend, overrides={setting: value})
    with pytest.raises(UserError, match=f"Set {setting} to"):
        drafts.check_trainable(drafts.from_request(request, CPU))


@pytest.mark.parametrize("backend", ["hf", "mlx"])
def test_a_tracker_that_is_not_installed_is_told_before_a_run_begins(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(drafts, "require_training", lambda backend: None)
    monkeypatch.setattr(environment, "installed", lambda _package: None)
    request = RunRequest(model=SMALL.id, data="starter", backend=backend, overrides={"report_to": "trackio"})
    with pytest.raises(UserError, match="python -m pip install trackio"):
        drafts.check_trainable(drafts.from_request(request, CPU))
