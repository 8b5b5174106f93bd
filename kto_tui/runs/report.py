"""A run in words: progress lines while it goes, and what it achieved when it is over."""

from collections.abc import Callable
from typing import Any

from kto_tui import units
from kto_tui.runs.control import Setting
from kto_tui.runs.events import (
    AdapterSaved,
    Adjusted,
    AnyEvent,
    CheckpointSaved,
    DataPrepared,
    Ended,
    Evaluated,
    Marked,
    MemoryRanOut,
    Noted,
    PeakMeasured,
    PhaseEntered,
    Queued,
    Resumed,
    Sampled,
    StepCompleted,
    TrainingStarted,
    WorkerStarted,
)
from kto_tui.runs.state import RunState

SHOWN_ANSWERS = 3


def _data_line(event: DataPrepared) -> str:
    if not event.undesirable:  # SFT: its rows are all good, and have no weights
        return (
            f"data: {event.train_rows} rows to train on, {event.heldout_rows} held out, "
            f"{event.dropped_rows} dropped, {event.cut_rows} cut"
        )
    return (
        f"data: {event.train_rows} rows to train on ({event.desirable} desirable, "
        f"{event.undesirable} undesirable), {event.heldout_rows} held out, "
        f"{event.dropped_rows} dropped, {event.cut_rows} cut; "
        f"weights {event.desirable_weight:g} : {event.undesirable_weight:g} ({event.weights_because})"
    )


def _training_line(event: TrainingStarted) -> str:
    return (
        f"training {units.parameters(event.trainable_parameters)} of "
        f"{units.parameters(event.total_parameters)} parameters on {event.device} "
        f"in {event.precision}, {event.total_steps} steps"
    )


def _evaluated_line(event: Evaluated) -> str:
    if event.accuracy is None and event.loss is not None:
        return f"held-out loss {units.metric(event.loss)} of {event.rows} rows at step {event.step}"
    return (
        f"held-out reward accuracy {units.percent(event.accuracy)} of {event.rows} rows at step {event.step}, "
        f"margin {units.metric(event.margin, 2, signed=True)}"
    )


def _adjusted_line(event: Adjusted) -> str:
    return f"{event.name} {_value(event.before)} -> {_value(event.after)}: {event.because}"


def _value(value: Setting) -> str:
    return f"{len(value)} prompts" if isinstance(value, tuple) else "automatic" if value is None else str(value)


def _peak_line(event: PeakMeasured) -> str:
    return "peak memory " + ", ".join(_peak_words(event))


_LINES: dict[type, Callable[[Any], str]] = {
    WorkerStarted: lambda event: f"worker {event.pid} on {event.host}",
    Queued: lambda event: f"queued behind {event.holder or 'another run'} on {event.device}",
    Resumed: lambda event: f"goes on after step {event.step}" if event.step else "begins again",
    Adjusted: _adjusted_line,
    MemoryRanOut: lambda event: f"memory ran out: {event.message}",
    Marked: lambda event: f"mark at step {event.step}: {event.text}",
    PhaseEntered: lambda event: event.phase,
    DataPrepared: _data_line,
    TrainingStarted: _training_line,
    Evaluated: _evaluated_line,
    Sampled: lambda event: f"answered {len(event.answers)} fixed prompts at step {event.step}",
    CheckpointSaved: lambda event: f"checkpoint {event.step} saved ({units.size(event.size_bytes)})",
    AdapterSaved: lambda event: f"adapter saved ({units.size(event.size_bytes)}) in {event.path}",
    PeakMeasured: _peak_line,
    Noted: lambda event: f"note: {event.text}",
    Ended: lambda event: f"{event.reason}{': ' + event.message if event.message else ''}",
}


def event_line(event: AnyEvent, state: RunState) -> str | None:
    """One plain line for ``event``; None for events that need none (gauges, allocator)."""
    if isinstance(event, StepCompleted):
        return step_line(event, state)
    words = _LINES.get(type(event))
    return None if words is None else words(event)


def imitates(state: RunState) -> bool:
    """Whether the run trains on good rows alone, as SFT does: then there are no rewards and no KL to be told."""
    return state.data is not None and not state.data.undesirable


def _peak_words(event: PeakMeasured) -> list[str]:
    """Predicted and measured memory of the first step, and what the process needs besides."""
    words = [f"measured {units.size(event.allocated_bytes)}"]
    if event.predicted_bytes:
        words.insert(0, f"predicted {units.size(event.predicted_bytes)}")
        words[1] += f" ({event.allocated_bytes / event.predicted_bytes - 1:+.0%})"
    if event.outside_bytes is not None:
        words.append(f"{units.size(event.outside_bytes)} besides")
    return words


def step_line(event: StepCompleted, state: RunState) -> str:
    """One step's figures."""
    memory = state.gauges.process_bytes if state.gauges else None
    # What Metal has of unified memory is not part of the process's own; the allocator inside it counts that.
    allocator = f", allocator {units.size(state.allocator.active_bytes)}" if state.allocator else ""
    rewards = f"margin {units.metric(event.margin, 2, signed=True)}  KL {units.metric(event.kl, 2)}  "
    return (
        f"step {event.step}/{event.total_steps}  loss {units.metric(event.loss)}  "
        f"{'' if imitates(state) else rewards}"
        f"{units.metric(event.tokens_per_second, 0)} tok/s  memory {units.size(memory)}{allocator}  "
        f"left {units.duration(state.remaining_seconds)}"
    )


def summary_lines(state: RunState) -> list[str]:
    """What a run achieved: held-out figures, the behaviour before and after, and the memory it took."""
    lines: list[str] = []
    if state.evaluations and state.evaluations[-1].accuracy is None and state.evaluations[-1].loss is not None:
        first, last = state.evaluations[0], state.evaluations[-1]
        base = "—" if first.step else units.metric(first.loss)
        tuned = units.metric(last.loss) if last.step else "—"
        lines.append(f"Held-out loss             before {base}   after {tuned} of {last.rows} rows")
    elif state.evaluations:
        last = state.evaluations[-1]
        # Before training policy and reference are the same model, so every reward is 0 by definition.
        lines.append(f"Held-out reward accuracy  before —   after {units.percent(last.accuracy)} of {last.rows} rows")
        lines.append(
            f"                          desirable {units.percent(last.accuracy_desirable)}, "
            f"undesirable {units.percent(last.accuracy_undesirable)}"
        )
        lines.append(f"Reward margin             before —   after {units.metric(last.margin, 2, signed=True)}")
    before, after = _ends(state)
    if before is not None and after is not None:
        if after.behaviour is not None:
            lines.append(
                f"Behaviour: {after.behaviour}  before {units.percent(before.behaviour_share)}   "
                f"after {units.percent(after.behaviour_share)}  ({len(after.answers)} fixed prompts)"
            )
        lines.append(
            f"Answers ended by the model  before {units.percent(before.finished_share)}   "
            f"after {units.percent(after.finished_share)}"
        )
        lines.append(
            f"Mean answer length        before {units.metric(before.mean_words, 0)}   "
            f"after {units.metric(after.mean_words, 0)} words"
        )
    if state.peak is not None:
        lines.append(f"Peak memory               {'   '.join(_peak_words(state.peak))}")
    if state.allocator_peak_bytes is not None:
        lines.append(f"Peak of the allocator     {units.size(state.allocator_peak_bytes)}")
    return lines


def _ends(state: RunState) -> tuple[Sampled | None, Sampled | None]:
    base = next((sample for sample in reversed(state.samples) if sample.step == 0), None)
    tuned = next((sample for sample in reversed(state.samples) if sample.step > 0), None)
    return base, tuned


def answers_side_by_side(state: RunState, limit: int = SHOWN_ANSWERS) -> list[tuple[str, str, str]]:
    """(prompt, base answer, tuned answer); an answer cut at the token limit ends with "[...]"."""
    base, tuned = _ends(state)
    if base is None or tuned is None:
        return []
    return [
        (one.prompt, _shown(one.text, one.finished), _shown(two.text, two.finished))
        for one, two in zip(base.answers, tuned.answers, strict=False)
    ][:limit]


def _shown(text: str, finished: bool) -> str:
    flat = " ".join(text.split()) or "(nothing)"
    return flat if finished else f"{flat} [...]"
