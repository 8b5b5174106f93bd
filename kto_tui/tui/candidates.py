"""The models as the Model screen offers them: each with its plan for a machine, in order, filtered and marked."""

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from kto_tui.backend_choice import backend_here
from kto_tui.catalog import ModelSpec
from kto_tui.draft import Draft, choose_model
from kto_tui.errors import UserError
from kto_tui.hub.download import must_fetch
from kto_tui.planner import Plan, propose
from kto_tui.speed import TYPICAL_SHARE, speed, speed_class
from kto_tui.starter import MODEL_ID, starter_model_folder

ORDER = ("FITS", "TIGHT", "NO", "UNKNOWN")
LARGEST_PROPOSED = 8.5e9  # parameters; beyond that a first run takes longer than a first run should
NON_COMMERCIAL = "non-commercial"


class Candidate(msgspec.Struct, frozen=True):
    """One model on one machine. ``pace``: how long 1,000 rows take, in a word; ``here``: nothing is to download."""

    model: ModelSpec
    plan: Plan
    pace: str
    here: bool

    @property
    def needs(self) -> float | None:
        """Predicted bytes; None where unknown."""
        return None if self.plan.predicted is None else self.plan.predicted.total

    @property
    def non_commercial(self) -> bool:
        """Whether its licence says so."""
        return NON_COMMERCIAL in f"{self.model.licence} {self.model.note}"

    @property
    def marks(self) -> tuple[str, ...]:
        """What a person should know before choosing, in words."""
        told = {
            "here": self.here,
            "gated": self.model.gated,
            NON_COMMERCIAL: self.non_commercial,
            "unverified": self.model.verified is False,
        }
        return tuple(word for word, so in told.items() if so)

    @property
    def words(self) -> str:
        """What a filter looks through, in lower case."""
        model = self.model
        named = (model.id, model.title, model.licence, model.use, model.model_type)
        return " ".join([*(word for word in named if word), *self.marks]).lower()


def is_here(model_id: str) -> bool:
    """Whether nothing of a model must be fetched."""
    return starter_model_folder().is_dir() if model_id == MODEL_ID else not must_fetch(model_id)


def consider(draft: Draft, models: Iterable[ModelSpec]) -> list[Candidate]:
    """``models`` with what the recipe screen would propose for each, in no order."""
    rows, row_tokens = draft.training_rows, draft.row_tokens
    found = []
    for model in models:
        # A recipe that was picked for another model is picked anew; only the starter run has one of its own.
        preset = choose_model(draft, model).preset if model.id == MODEL_ID else None
        backend = backend_here(draft.hardware, asked=draft.asked_backend, model=model).name
        proposal = partial(propose, model, draft.hardware, rows=rows, row_tokens=row_tokens, backend=backend)
        try:
            plan = proposal(preset=preset, overrides=draft.overrides)
        except UserError:  # what was set by hand goes with other data
            plan = proposal(preset=preset)
        pace = speed_class(speed(model, plan.recipe, draft.hardware, backend), TYPICAL_SHARE * plan.recipe.max_length)
        found.append(Candidate(model, plan, pace, is_here(model.id)))
    return found


def _place(one: Candidate) -> tuple[int, float, str]:
    verdict = one.plan.verdict
    # Of those that fit the largest comes first, of those that do not the one that lacks least.
    size = (one.needs or 0.0) if verdict == "NO" else -(one.model.parameters or 0)
    return ORDER.index(verdict), size, one.model.id


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """By verdict; within it the most useful first."""
    return sorted(candidates, key=_place)


def shown(candidates: Sequence[Candidate], wanted: str, *, with_no: bool) -> tuple[list[Candidate], int]:
    """Those that have every word of ``wanted``, and how many of these are left out because they do not fit.

    Models that do not fit are left out unless ``with_no``, or nothing else is left.
    """
    found = [one for one in candidates if all(word in one.words for word in wanted.lower().split())]
    rest = [one for one in found if one.plan.verdict != "NO"]
    return (found, 0) if with_no or not rest else (rest, len(found) - len(rest))


def proposed_model(candidates: Iterable[Candidate], device: str) -> str:
    """The model we would start with.

    The starter on a processor; else the largest that fits and is free to take: counted and known in full, with a chat
    template, neither gated nor for non-commercial use only.
    """
    if device == "cpu":
        return MODEL_ID
    sized = [
        (one.model.parameters, one.model.id)
        for one in candidates
        if one.plan.verdict == "FITS"
        and one.model.parameters is not None
        and one.model.parameters <= LARGEST_PROPOSED
        and one.model.verified
        and one.model.supported
        and one.model.chat_template is not None
        and not one.model.gated
        and not one.non_commercial
    ]
    return max(sized)[1] if sized else MODEL_ID
