"""What the Model screen says of the model under the cursor, the most important first."""

from textual.content import Content

from kto_tui import units
from kto_tui.draft import Draft
from kto_tui.hub.download import to_fetch
from kto_tui.hub.sentences import disk_short
from kto_tui.recipe import field_named
from kto_tui.recipe_text import show_value
from kto_tui.speed import CLASS_ROWS, UNMEASURED, effort
from kto_tui.starter import MODEL_ID
from kto_tui.tui.candidates import Candidate

# The planner's own choices, in the order in which they are told.
SETTINGS = ("quantization", "micro_batch", "max_length", "gradient_checkpointing")
TALL_SETTINGS = (*SETTINGS, "effective_batch", "precision", "optimizer", "lora_rank", "learning_rate")
LABEL = 6
QUANTISED = {"nf4": "4-bit NF4", "int4": "4-bit weights", "int8": "8-bit weights"}


def facts(one: Candidate) -> Content:
    """Whose it is, under which licence, and what must be fetched."""
    model = one.model
    known = [model.licence or "licence unknown"]
    if model.context is not None:
        known.append(f"context {model.context // 1024}k" if model.context >= 1024 else f"context {model.context}")
    return Content.assemble((model.id, "bold"), " · ", " · ".join([*known, _fetching(one)]))


def _fetching(one: Candidate) -> str:
    if one.here:
        return "already here"
    if one.model.id == MODEL_ID:
        return "comes with the first run"
    size = one.model.download_bytes
    return "download of unknown size" if size is None else f"download {units.size(size)}"


def _settings(one: Candidate) -> str:
    recipe = one.plan.recipe
    stored = f"{recipe.precision} weights" if one.model.quantised is None else "weights as quantised"
    weights = QUANTISED.get(recipe.quantization, stored)
    words = [weights, f"{recipe.micro_batch} of {recipe.effective_batch} rows at once"]
    words += [f"{recipe.max_length} tokens", *(["checkpointing"] if recipe.gradient_checkpointing else [])]
    return f"{', '.join(words)}; {one.plan.backend}"


def _reasons(one: Candidate) -> str:
    """What decided the settings, what they share ("7.2 GiB free:") said once."""
    names = [name for name in SETTINGS if name != "quantization" or one.plan.recipe.quantization != "none"]
    told = list(dict.fromkeys(one.plan.because[name] for name in names if one.plan.because.get(name)))
    shared = {reason.split(": ", 1)[0] for reason in told if " free: " in reason}
    if len(shared) != 1:
        return "; ".join(told)
    start = f"{shared.pop()}: "
    forced = [reason.removeprefix(start) for reason in told if reason.startswith(start)]
    return "; ".join([start + ", ".join(forced), *(reason for reason in told if not reason.startswith(start))])


def _all_settings(one: Candidate) -> Content:
    """The planner's choices, one a line, each with its reason."""
    lines: list[Content] = []
    for name in TALL_SETTINGS:
        field = field_named(name)
        value = show_value(field, getattr(one.plan.recipe, name))
        words = f"{field.label:20}{value:>14}   {one.plan.because.get(name, '')}"
        lines.append(_line("" if lines else "With", words))
    return Content("\n").join(lines)


def _time(one: Candidate, draft: Draft) -> str:
    rows = draft.training_rows
    plan, tokens = one.plan, draft.mean_tokens
    found = effort(one.model, plan.recipe, draft.hardware, rows or CLASS_ROWS, tokens, plan.backend_name)
    whose = f"your {units.count(rows)}" if rows else units.count(CLASS_ROWS)
    return f"{whose} rows: {UNMEASURED if found is None else found}"


def _notes(one: Candidate) -> str:
    model = one.model
    notes = [model.use or "", model.note]
    if model.supported is False:
        notes.append(f"its architecture {model.model_type} is not one kto-tui knows")
    if model.verified is False and "unverified" not in model.note:
        notes.append("its parameter count is unverified")
    return "; ".join(note for note in notes if note)


def _line(label: str, words: str) -> Content:
    return Content.assemble((label.ljust(LABEL), "dim"), words)


def detail(one: Candidate, draft: Draft, *, tall: bool) -> Content:
    """What to do first, what is missing, settings and reasons, time, what it is for.

    Args:
        one: the model under the cursor.
        draft: for the machine and what is known of the data.
        tall: whether there is room for every setting on a line of its own.
    """
    lines = [_line("Gated", "accept its licence on the hub and log in before training")] if one.model.gated else []
    needed = None if one.here else to_fetch(one.model.id, one.model.download_bytes)
    if short := disk_short(needed, draft.hardware.models_disk_free_bytes):
        lines.append(_line("Disk", f"the download needs {units.size(needed)}, but {short}"))
    if tall:
        lines += [_all_settings(one), _line("Time", _time(one, draft))]
    else:
        lines += [_line("With", _settings(one)), _line("Time", _time(one, draft)), _line("Why", _reasons(one))]
    if notes := _notes(one):
        lines.append(_line("For", notes))
    return Content("\n").join(lines)
