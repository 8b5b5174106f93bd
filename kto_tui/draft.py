"""The choices made so far, immutable, passed from screen to screen; and the run configuration they become."""

import os
from typing import Any

import msgspec

from kto_tui.backend_choice import Choice, backend_here
from kto_tui.catalog import ModelSpec, resolve
from kto_tui.catalog.mlx import model_refusal
from kto_tui.choices import DataChoices
from kto_tui.data.by_method import count_for, require_trainable, unused
from kto_tui.data.sources import STARTER, Source, open_source
from kto_tui.data.split import TRIAL_ROWS, heldout_count
from kto_tui.data_here import path_of
from kto_tui.device_rules import refused
from kto_tui.environment import require_tracker, require_training
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware
from kto_tui.methods import Method
from kto_tui.planner import Plan, Preset, load_presets, propose
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig, RunRequest
from kto_tui.starter import MODEL_ID, PRESET

# English text under today's vocabularies has four characters to a token; other scripts have fewer.
CHARACTERS_PER_TOKEN = 3.0


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What will be trained, as far as it is decided. ``None`` means not chosen yet.

    ``asked_backend``: the one that a run file names.
    """

    hardware: Hardware
    model: ModelSpec | None = None
    data: str | None = None
    heldout: str | None = None
    choices: DataChoices = DataChoices()
    source: Source | None = None
    preset: Preset | None = None
    overrides: dict[str, Any] = msgspec.field(default_factory=dict)
    trial: bool = False
    asked_backend: str | None = None

    @property
    def backend(self) -> Choice:
        """Who trains, and why."""
        return backend_here(self.hardware, asked=self.asked_backend, model=self.model)

    @property
    def rows(self) -> int | None:
        """Rows in the data file."""
        return None if self.source is None else len(self.source.dataset.rows)

    @property
    def method(self) -> Method:
        """How it will be trained: as set by hand, else as the named recipe says, else KTO."""
        named = {} if self.preset is None else self.preset.recipe
        return "sft" if {**named, **self.overrides}.get("method") == "sft" else "kto"

    @property
    def unused(self) -> str:
        """What the method cannot learn from and leaves out, in words; empty where it takes all rows."""
        if self.source is None or self.method == "kto" or not self.source.dataset.undesirable:
            return ""
        return unused(self.source.dataset.undesirable)

    @property
    def row_tokens(self) -> int | None:
        """Tokens that 95 % of the rows stay below, estimated from their characters."""
        if self.source is None:
            return None
        return round(self.source.dataset.p95_characters / CHARACTERS_PER_TOKEN) + 1

    @property
    def mean_tokens(self) -> float | None:
        """Mean tokens of a row, estimated from its characters; what a run takes depends on it."""
        return None if self.source is None else self.source.dataset.mean_characters / CHARACTERS_PER_TOKEN

    @property
    def heldout_rows(self) -> int | None:
        """Rows that will be kept for evaluation: the data's own held-out rows, else those split off."""
        if self.source is None:
            return None
        if self.source.heldout is not None:
            return count_for(self.method, self.source.heldout)
        share = self.overrides.get("heldout_share", Recipe().heldout_share)
        bad = self.source.dataset.undesirable if self.method == "kto" else 0
        return heldout_count(self.source.dataset.desirable, bad, share)

    @property
    def training_rows(self) -> int | None:
        """Rows that will be trained on, as far as that is known before tokens are counted."""
        if self.source is None:
            return None
        split_off = 0 if self.source.heldout is not None else self.heldout_rows or 0
        rows = count_for(self.method, self.source.dataset) - split_off
        return min(rows, TRIAL_ROWS) if self.trial else rows

    @property
    def starter_run(self) -> bool:
        """Whether this is the embedded default, model and data both."""
        return self.data == STARTER and self.model is not None and self.model.id == MODEL_ID


def choose_data(
    draft: Draft,
    data: str,
    heldout: str | None = None,
    choices: DataChoices = DataChoices(),  # noqa: B008 - frozen
) -> Draft:
    """``draft`` with its data read and checked; the starter pair brings its own recipe."""
    path = _absolute(path_of(data, choices.config, choices.split))
    held = None if heldout is None else _absolute(path_of(heldout))
    source = open_source(path, held, choices)
    changed = msgspec.structs.replace(draft, data=path, heldout=held, choices=choices, source=source)
    changed = choose_preset(changed, None)
    require_rows(changed)
    return changed


def require_rows(draft: Draft) -> None:
    """Nothing when the method can learn from the data; raises as ``require_trainable``."""
    if draft.source is not None:
        require_trainable(draft.method, draft.source.dataset, draft.source.heldout)


def _absolute(data: str) -> str:
    """The same from everywhere; the worker runs in another folder."""
    if data == STARTER:
        return data
    path = os.path.realpath(os.path.expanduser(data))  # noqa: PTH111 - raises on ~nobody
    return f"{path}/" if "#" in data and data.endswith("/") else path  # ``#CONFIG/`` is a config and no split


def choose_preset(draft: Draft, preset: Preset | None) -> Draft:
    """``draft`` with a named recipe; None picks the one that suits model and data."""
    if preset is None:
        presets = load_presets()
        preset = presets[PRESET] if draft.starter_run and draft.hardware.device == "cpu" else presets["usual"]
    return msgspec.structs.replace(draft, preset=preset)


def choose_model(draft: Draft, model: ModelSpec) -> Draft:
    """``draft`` with a model; a recipe that was picked for the old one is picked anew."""
    return choose_preset(msgspec.structs.replace(draft, model=model), None)


def choose_hardware(draft: Draft, hardware: Hardware) -> Draft:
    """``draft`` for another machine; a recipe that was picked for the old one is picked anew."""
    changed = msgspec.structs.replace(draft, hardware=hardware)
    return changed if draft.model is None else choose_preset(changed, None)


def starter_draft(hardware: Hardware) -> Draft:
    """The starter run, filled in."""
    return choose_data(choose_model(Draft(hardware=hardware), resolve(MODEL_ID)), STARTER)


def from_request(request: RunRequest, hardware: Hardware) -> Draft:
    """A draft from a run file, its model and data looked up and checked."""
    draft = Draft(hardware=hardware, asked_backend=request.backend, overrides=request.overrides, trial=request.trial)
    draft = choose_model(draft, resolve(request.model))
    return choose_data(draft, request.data, request.heldout, request.choices)


def plan(draft: Draft) -> Plan:
    """The complete recipe for a draft that has a model."""
    if draft.model is None:
        raise UserError("No model is chosen", mend="Choose one on the Model screen", where="wizard")
    return propose(
        draft.model,
        draft.hardware,
        rows=draft.training_rows,
        row_tokens=draft.row_tokens,
        preset=draft.preset,
        overrides=draft.overrides,
        backend=draft.backend.name,
    )


def check_trainable(draft: Draft) -> None:
    """Refuse, before anything is downloaded, what is known not to train whatever memory there is.

    Raises:
        UserError: packages or a machine for the backend are missing, or the tracker's package, or the backend would
            refuse the model or a setting.
    """
    backend = draft.backend.name
    require_training(backend)
    if draft.model is None:
        return
    quantization, recipe = draft.overrides.get("quantization", "none"), plan(draft).recipe
    require_tracker(recipe.report_to)
    # What the device has the training process knows better: here it is taken to have everything.
    refusal = model_refusal(draft.model, backend, quantization, recipe.max_length) or refused(
        recipe, "cuda", bf16=True, backend=backend
    )
    if refusal is not None:
        raise refusal


def to_config(draft: Draft) -> RunConfig:
    """The frozen configuration of a complete draft."""
    if draft.model is None or draft.data is None or draft.source is None:
        raise UserError("Model and data are not both chosen", mend="Choose them first", where="wizard")
    require_rows(draft)
    proposal, backend = plan(draft), draft.backend
    return RunConfig(
        model=draft.model.id,
        data=draft.data,
        heldout=draft.heldout,
        trial=draft.trial,
        backend=backend.name,
        choices=draft.choices,
        recipe=proposal.recipe,
        because=proposal.because | ({"backend": backend.because} if backend.because else {}),
        data_fingerprint=draft.source.dataset.fingerprint,
    )
