"""A run in words: progress lines while it goes, and what it achieved when it is over."""

from kto_tui import units
from kto_tui.runs.events import (
    AdapterSaved,
    AnyEvent,
    CheckpointSaved,
    DataPrepared,
    Ended,
    Evaluated,
    Noted,
    PeakMeasured,
    PhaseEntered,
    Sampled,
    StepCompleted,
    TrainingStarted,
    WorkerStarted,
)
from kto_tui.runs.state import RunState

SHOWN_ANSWERS = 3


def event_line(event: AnyEvent, state: RunState) -> str | None:
    """One plain line for ``event``; None for events that need none (gauges)."""
    match event:
        case WorkerStarted():
            return f"worker {event.pid} on {event.host}"
        case PhaseEntered():
            return event.phase
        case DataPrepared():
            return (
                f"data: {event.train_rows} rows to train on ({event.desirable} desirable, "
                f"{event.undesirable} undesirable), {event.heldout_rows} held out, "
                f"{event.dropped_rows} dropped, {event.cut_rows} cut; "
                f"weights {event.desirable_weight:g} : {event.undesirable_weight:g} ({event.weights_because})"
            )
        case TrainingStarted():
            return (
                f"training {units.parameters(event.trainable_parameters)} of "
                f"{units.parameters(event.total_parameters)} parameters on {event.device} "
                f"in {event.precision}, {event.total_steps} steps"
            )
        case StepCompleted():
            return step_line(event, state)
        case Evaluated():
            return (
                f"held-out reward accuracy {units.percent(event.accuracy)} of {event.rows} rows at step {event.step}, "
                f"margin {units.metric(event.margin, 2, signed=True)}"
            )
        case Sampled():
            return f"answered {len(event.answers)} fixed prompts at step {event.step}"
        case CheckpointSaved():
            return f"checkpoint {event.step} saved ({units.size(event.size_bytes)})"
        case AdapterSaved():
            return f"adapter saved ({units.size(event.size_bytes)}) in {event.path}"
        case PeakMeasured():
            return peak_line(event)
        case Noted():
            return f"note: {event.text}"
        case Ended():
            return f"{event.reason}{': ' + event.message if event.message else ''}"
        case _:
            return None


def peak_line(event: PeakMeasured) -> str:
    """Measured beside predicted memory."""
    line = f"memory after the first step: {units.size(event.allocated_bytes)} for the model and its training"
    if event.predicted_bytes is not None:
        off = event.allocated_bytes / event.predicted_bytes - 1
        line += f", predicted {units.size(event.predicted_bytes)} for these rows ({off:+.0%})"
    if event.outside_bytes is not None:
        line += f"; {units.size(event.outside_bytes)} besides"
    return line


def step_line(event: StepCompleted, state: RunState) -> str:
    """One step's figures."""
    memory = state.gauges.process_bytes if state.gauges else None
    return (
        f"step {event.step}/{event.total_steps}  loss {units.metric(event.loss)}  "
        f"margin {units.metric(event.margin, 2, signed=True)}  KL {units.metric(event.kl, 2)}  "
        f"{units.metric(event.tokens_per_second, 0)} tok/s  memory {units.size(memory)}  "
        f"left {units.duration(state.remaining_seconds)}"
    )


def summary_lines(state: RunState) -> list[str]:
    """What a run achieved: held-out accuracy, the behaviour before and after, and the memory it took."""
    lines: list[str] = []
    if state.evaluations:
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
        lines.append(peak_line(state.peak).capitalize())
    return lines


def _ends(state: RunState) -> tuple[Sampled | None, Sampled | None]:
    base = next((sample for sample in state.samples if sample.step == 0), None)
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
