"""The two lines above the curves: which run, how far, how fast, until when."""

import time
from typing import NamedTuple

from textual.content import Content

from kto_tui import units
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Action
from kto_tui.runs.heldout_words import said, tuned
from kto_tui.runs.report import event_line
from kto_tui.runs.state import OVER, RunState, Status

BACKENDS = {"hf": "TRL", "mlx": "MLX"}
BAR = (8, 30)  # cells, at least and at most
COMING: dict[Action, str] = {"pause": "pausing", "stop": "stopping", "abort": "aborting"}
_DAY = 86_400


def title(run_id: str, config: RunConfig | None, state: RunState, *, right: str, width: int) -> Content:
    """Which run, of what; ``right``: what the end of the line says."""
    device = state.training.device if state.training else "..."
    parts = [f"{run_id} "]
    if config is not None:
        method, backend = config.recipe.method.upper(), BACKENDS.get(config.backend, config.backend)
        parts += [config.model.rstrip("/").rsplit("/", 1)[-1], "·", method, "·", f"{backend} on {device}"]
    left = Content(" " + " ".join(parts)).truncate(max(0, width - len(right) - 3), ellipsis=True)
    space = max(1, width - 2 - left.cell_length - len(right))
    return Content.assemble(left.stylize("bold"), " " * space, (right, "bold reverse"))


def clock(word: Status, state: RunState, asked: Action | None, *, read_only: bool) -> str:
    """The state in a word, or what was ``asked`` of the run and comes after its step, and the time since it began."""
    watching = "read-only  " if read_only else ""
    said = word if asked is None or word in OVER else COMING[asked]
    return f"{watching}{said.upper()}  {units.duration(state.elapsed_seconds)} "


class _Part(NamedTuple):
    """A piece of the line. ``rank``: the highest go first where there is no room."""

    rank: int
    text: str


def progress(state: RunState, word: Status, mean_speed: float | None, width: int) -> Content:
    """How far the run is and how it goes on, in what fits ``width``."""
    if word in OVER:
        return Content(f" {_came_to(state, word)}")
    last = state.last_step
    if word == "queued" and state.queued is not None:
        return Content(f" {event_line(state.queued, state)}")
    if last is None:
        return Content(f" {_after(state)}{state.phase or 'starting'} ...")
    total = state.total_steps or last.total_steps
    share = state.step / total if total else 0.0
    begin = f" step {state.step}/{total} ".ljust(2 * len(str(total)) + len(" step / "))
    parts = [_Part(0, f" {share:4.0%}"), *_parts(state, mean_speed)]
    most = width - len(begin) - BAR[0]
    while sum(len(part.text) for part in parts) > most and (least := max(parts)).rank:
        parts.remove(least)
    cells = max(BAR[0], min(BAR[1], BAR[0] + most - sum(len(part.text) for part in parts)))
    done = round(share * cells)
    return Content(begin + "▓" * done + "░" * (cells - done) + "".join(part.text for part in parts))


def _parts(state: RunState, mean_speed: float | None) -> list[_Part]:
    """What may stand behind the bar, in the order in which it stands there."""
    last, parts = state.last_step, []
    if last is not None and last.epoch is not None:
        # The point of the curves may be some steps old.
        parts.append(_Part(4, f"  epoch {last.epoch * state.step / max(1, last.step):.2f}"))
    now = None if last is None else last.tokens_per_second
    parts.append(_Part(2, f"  {units.metric(now, 0):>4} tok/s"))
    if mean_speed is not None:
        parts.append(_Part(7, f", mean {units.metric(mean_speed, 0)}"))
    if state.phase not in {None, "training"}:
        parts.append(_Part(1, f"  {state.phase}"))
    elif (left := state.remaining_seconds) is not None and state.last_event_at is not None:
        parts.append(_Part(1, f"  left {units.duration(left):>5}"))
        parts.append(_Part(3, f"  done ~{_day_time(state.last_event_at, left)}"))
    if state.joules is not None:
        parts.append(_Part(5, f"  {units.energy(state.joules / 3600)}"))
    if state.resumed is not None and state.resumed.step:
        parts.append(_Part(6, f"  resumed at {state.resumed.step}"))
    return parts


def _day_time(now: float, seconds: float) -> str:
    form = "%H:%M" if seconds < _DAY else "%a %H:%M"
    return time.strftime(form, time.localtime(now + seconds))


def _after(state: RunState) -> str:
    return f"after step {state.step}: " if state.step else ""


def _came_to(state: RunState, word: Status) -> str:
    """Where it ended, and the held-out figures where there are any."""
    of = f" of {state.total_steps}" if state.total_steps else ""
    parts = [f"{word} at step {state.step}{of}"]
    if scored := tuned(state.evaluations):
        parts.append(said(scored[-1]))
    if state.joules is not None:
        parts.append(units.energy(state.joules / 3600))
    return ", ".join(parts)
