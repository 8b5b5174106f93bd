"""``models`` and ``fit``: what trains on a machine, with which settings, and why."""

import sys
from typing import Any

import msgspec

from kto_tui import units
from kto_tui.backend_choice import backend_here
from kto_tui.catalog import ModelSpec, load_catalog, resolve
from kto_tui.commands.printing import print_json, print_table
from kto_tui.commands.settings import parse, told_by_option
from kto_tui.errors import UserError
from kto_tui.flags import FLAGS
from kto_tui.hardware import Hardware
from kto_tui.hardware.presets import machine
from kto_tui.hub.cache import cached
from kto_tui.hub.download import to_fetch
from kto_tui.hub.sentences import disk_short
from kto_tui.memory.parts import PARTS, parts_of
from kto_tui.planner import Plan, propose
from kto_tui.speed import CLASS_ROWS, TYPICAL_SHARE, UNMEASURED, Speed, effort, speed, speed_class

SETTINGS = tuple(FLAGS.values())
METHODS = ("kto",)
SPARE = ("Licence", "Note", "1,000 rows", "Size", "Needs")  # columns of `models`, the least needed first


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise UserError(f"No method is called {method!r}", mend=f"Choose {' or '.join(METHODS)}", where="--method")


def _pace(found: Speed | None, plan: Plan) -> str:
    return speed_class(found, TYPICAL_SHARE * plan.recipe.max_length)


def _speed_record(model: ModelSpec, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Time and energy are those of ``rows`` rows whose lengths are not known yet."""
    name = plan.backend_name
    found = speed(model, plan.recipe, hardware, name)
    whole = effort(model, plan.recipe, hardware, CLASS_ROWS, backend=name)
    return {
        "class": _pace(found, plan),
        "tokens_per_second": None if found is None else round(found.tokens_per_second, 1),
        "watts": None if found is None else found.watts,
        "rows": CLASS_ROWS,
        "seconds": None if whole is None else round(whole.seconds),
        "watt_hours": None if whole is None or whole.watt_hours is None else round(whole.watt_hours, 1),
        "basis": UNMEASURED if found is None else found.basis,
    }


def record(model: ModelSpec, hardware: Hardware, plan: Plan) -> dict[str, Any]:
    """Everything known of a model on a machine, as JSON prints it. Bytes, unless a name says otherwise."""
    predicted = plan.predicted
    memory: dict[str, Any] | None = None
    if predicted is not None:
        memory = {
            "total_bytes": round(predicted.total),
            "allocated_bytes": round(predicted.allocated),
            "likely_reserved_bytes": round(predicted.reserved),
            "outside_bytes": round(predicted.outside),
            "parts": {name: round(value) for name, value in parts_of(predicted)},
            "quality": predicted.quality,
            "note": predicted.note,
        }
    here = cached(model.id)
    return {
        **msgspec.to_builtins(model),
        "supported": model.supported,
        "method": plan.recipe.method,
        "machine": hardware.planned_as or hardware.host,
        "backend": plan.backend,
        "free_bytes": hardware.free_training_bytes,
        "verdict": plan.verdict,
        "because": plan.verdict_because,
        "would_fit": plan.would_fit,
        "predicted_bytes": None if predicted is None else round(predicted.total),
        "prediction_quality": None if predicted is None else predicted.quality,
        "memory": memory,
        "settings": {name: getattr(plan.recipe, name) for name in SETTINGS},
        "settings_because": {name: plan.because[name] for name in SETTINGS if name in plan.because},
        "speed": _speed_record(model, hardware, plan),
        "download_bytes": model.download_bytes,
        "disk_free_bytes": hardware.models_disk_free_bytes,
        "cached": here is not None and here.complete,
    }


def _disk_short(model: ModelSpec, hardware: Hardware) -> str | None:
    return disk_short(to_fetch(model.id, model.download_bytes), hardware.models_disk_free_bytes)


def models(planned_as: str | None, method: str, *, as_json: bool) -> int:
    """The catalog with a verdict for a machine."""
    _check_method(method)
    hardware = machine(planned_as)
    plans = [
        (model, propose(model, hardware, backend=backend_here(hardware, model=model).name)) for model in load_catalog()
    ]
    if as_json:
        print_json([record(model, hardware, plan) for model, plan in plans])
        return 0
    rows = []
    for model, plan in plans:
        needed = None if plan.predicted is None else plan.predicted.total
        marks = " ".join(w for w, on in (("gated", model.gated), ("unverified", not model.verified)) if on)
        pace = _pace(speed(model, plan.recipe, hardware, plan.backend_name), plan)
        note = " · ".join(word for word in (marks, model.use, model.note) if word)
        size = units.parameters(model.parameters)
        rows.append([model.id, size, units.size(needed), plan.verdict, pace, model.licence or "", note])
    print_table(["Model", "Size", "Needs", "Verdict", "1,000 rows", "Licence", "Note"], rows, SPARE)
    free = units.size(hardware.free_training_bytes)
    sys.stdout.write(f"Against {free} free on {hardware.host}. More on one of them: kto-tui fit MODEL\n")
    missing = [needed for model, _ in plans if (needed := to_fetch(model.id, model.download_bytes))]
    short = [disk_short(needed, hardware.models_disk_free_bytes) for needed in missing]
    if short and all(short):
        sys.stdout.write(f"None that is not here already can be downloaded: {short[0]}\n")
    return 0


def fit(text: str, planned_as: str | None, method: str, chosen: dict[str, str], *, as_json: bool) -> int:
    """One model on a machine: the settings that fit, or those given, with their memory by parts."""
    _check_method(method)
    hardware, model = machine(planned_as), resolve(text)
    with told_by_option():
        backend = backend_here(hardware, model=model)
        plan = propose(model, hardware, overrides=parse(chosen), backend=backend.name)
    if as_json:
        print_json(record(model, hardware, plan))
        return 0
    for line in _lines(model, hardware, plan, backend.because):
        sys.stdout.write(line + "\n")
    return 0


def _lines(model: ModelSpec, hardware: Hardware, plan: Plan, backend_because: str) -> list[str]:
    why = f" ({backend_because})" if backend_because else ""
    lines = [f"{model.id} on {hardware.planned_as or hardware.host}, {plan.backend}{why}"]
    lines.append(f"{plan.verdict:8} {plan.verdict_because}")
    if plan.would_fit is not None:
        lines.append(f"{'':8} {plan.would_fit}")
    predicted = plan.predicted
    if predicted is not None:
        lines += [f"  {PARTS[name]:24} {units.size(value):>9}" for name, value in parts_of(predicted) if value >= 0.5]
        lines.append(f"  {'in all':24} {units.size(predicted.total):>9}   {predicted.note}")
        if predicted.reserved > predicted.allocated:
            lines.append(f"  {'the allocator may reserve':25} {units.size(predicted.reserved):>8}")
    lines.append("Settings")
    for name in SETTINGS:
        value = getattr(plan.recipe, name)
        shown = "on" if value is True else "off" if value is False else str(value)
        lines.append(f"  {name:24} {shown:>9}   {plan.because.get(name, '')}")
    time = effort(model, plan.recipe, hardware, CLASS_ROWS, backend=plan.backend_name)
    lines.append(f"Time     {units.count(CLASS_ROWS)} rows: {UNMEASURED if time is None else time}")
    if model.download_bytes is not None and to_fetch(model.id, model.download_bytes):
        short = _disk_short(model, hardware)
        but = "" if short is None else f", but {short}"
        lines.append(f"Download about {units.size(model.download_bytes)}, and as much disk{but}")
    if model.gated:
        lines.append("Gated    accept its licence on the hub and log in before training")
    return lines
