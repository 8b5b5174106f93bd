"""What the live screen says below the curves: how the training goes, or what became of it and how to go on."""

from collections.abc import Sequence

from textual.content import Content

from kto_tui.runs.events import PhaseEntered
from kto_tui.runs.report import event_line
from kto_tui.runs.state import RESUMABLE, RunState, Status
from kto_tui.runs.verdicts import Verdict
from kto_tui.tui.clock import clock_time
from kto_tui.tui.visible import one_line

NOTE_CHARACTERS = 400
# What became of a run whose last event does not say it.
_FATE: dict[Status, str] = {
    "died": "The run ended without a last word: killed, or the machine went down.",
    "stalled": "No sign of life for a minute: the machine may be asleep, out of memory or stuck.",
    "unknown": "This run belongs to another machine; whether it goes on can only be seen there.",
    "paused": "The device is free.",
}


def fate(word: Status, state: RunState, *, read_only: bool) -> str:
    """What happened to a run that came to no good end, and the key that mends it; empty while all goes its way."""
    if word not in RESUMABLE:
        return _FATE.get(word, "")
    told = (state.ended.message if state.ended is not None else "") or _FATE.get(word, "")
    way_back = (
        "" if read_only else "u goes on after the newest checkpoint. " if state.checkpoints else "u begins again. "
    )
    return f"{way_back}{told}"


def judgement(verdicts: Sequence[Verdict], well: str) -> Content:
    """The most important verdict and the number of the others; words for a healthy run; nothing when it is early."""
    if not verdicts:
        return Content(well)
    first = verdicts[0]
    more = f" (w: {len(verdicts) - 1} more)" if len(verdicts) > 1 else ""
    return Content.assemble((first.sentence, "bold"), f". {first.advice}{more}")


def all_said(verdicts: Sequence[Verdict], well: str, told: str) -> list[Content]:
    """The same in full, a paragraph each."""
    parts = [Content(told)] if told else []
    for verdict in verdicts:
        parts += [
            Content.styled(verdict.sentence, "bold"),
            Content(f"  {verdict.advice}"),
            Content(f"  ({verdict.rule})"),
        ]
    return parts or ([Content(well)] if well else [])


def notes(state: RunState, newest: int | None = None) -> list[Content]:
    """The run's news with their time, oldest first; what it was busy with only until there are steps."""
    chosen = state.notes
    if newest is not None:
        busy = state.last_step is None
        chosen = tuple(note for note in chosen if busy or not isinstance(note, PhaseEntered))[-newest:]
    told = ((note.t, event_line(note, state)) for note in chosen)
    return [
        Content.assemble((clock_time(t), "dim"), f"  {one_line(line, NOTE_CHARACTERS)}") for t, line in told if line
    ]
