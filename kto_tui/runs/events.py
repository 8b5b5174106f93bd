"""The kinds of events a run's log holds; ``kto_tui.runs.event_log`` writes and reads them.

Measured values are ``float | None``: NaN travels as null. Fields may be added, unknown fields are ignored and unknown
kinds skipped, so that an older reader understands a newer run.
"""

import math
from typing import Any, Literal

import msgspec

from kto_tui.runs.control import Setting

Cause = Literal[
    "out_of_memory", "not_finite", "disk_full", "checkpoint", "gpu_lost", "data_loading", "killed", "crashed"
]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Anything that happened in a run. ``t``: Unix time in seconds, stamped when it is written."""

    t: float = 0.0


class WorkerStarted(Event, frozen=True, kw_only=True, tag="worker_started"):
    """The supervisor runs. ``versions``: installed package versions by name."""

    host: str
    pid: int
    versions: dict[str, str] = {}


class Queued(Event, frozen=True, kw_only=True, tag="queued"):
    """The supervisor waits for ``device``. ``holder``: id of the run that has it, None if it cannot be told."""

    device: str
    holder: str | None = None


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """Training goes on after ``step``: what was measured beyond it is measured again.

    ``path``: the checkpoint; None when there was none and training begins anew.
    """

    step: int
    path: str | None = None


class Adjusted(Event, frozen=True, kw_only=True, tag="adjusted"):
    """A choice changed after the run had started. ``by``: a person, or the recovery from a fault."""

    name: str
    before: Setting
    after: Setting
    because: str
    by: Literal["person", "recovery"]


class MemoryRanOut(Event, frozen=True, kw_only=True, tag="memory_ran_out"):
    """A proven lack of memory. ``proof``: an exception of the training process, or the kernel's count of kills."""

    proof: Literal["exception", "kernel"]
    message: str


class Marked(Event, frozen=True, kw_only=True, tag="marked"):
    """A person's remark at ``step``."""

    step: int
    text: str


class PhaseEntered(Event, frozen=True, kw_only=True, tag="phase_entered"):
    """What the worker is busy with outside the training steps, in words."""

    phase: str


class DataPrepared(Event, frozen=True, kw_only=True, tag="data_prepared"):
    """Rows after splitting and dropping, and the label weights that follow."""

    train_rows: int
    heldout_rows: int
    desirable: int
    undesirable: int
    dropped_rows: int
    cut_rows: int
    desirable_weight: float
    undesirable_weight: float
    weights_because: str


class TrainingStarted(Event, frozen=True, kw_only=True, tag="training_started"):
    """The model is on its device and the first step begins."""

    total_steps: int
    device: str
    precision: str
    trainable_parameters: int
    total_parameters: int


class StepCompleted(Event, frozen=True, kw_only=True, gc=False, tag="step_completed"):
    """One logged optimizer step. Rewards are beta times the log-ratio, means over the rows since the last point.

    ``accuracy``: share of those rows whose reward has the sign of its label, before the step was taken.
    """

    step: int
    total_steps: int
    epoch: float | None = None
    loss: float | None = None
    kl: float | None = None
    reward_desirable: float | None = None
    reward_undesirable: float | None = None
    margin: float | None = None
    accuracy: float | None = None
    accuracy_desirable: float | None = None
    accuracy_undesirable: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None


class Evaluated(Event, frozen=True, kw_only=True, tag="evaluated"):
    """What the held-out rows say after ``step``; of step 0, the base model, for SFT alone: KTO's rewards begin at 0.

    Attributes:
        accuracy: KTO: share of rows whose reward has the sign of its label; None for SFT, as all rewards are.
        loss: SFT: mean negative log-likelihood of a token that is learnt, in nats; None for KTO.
    """

    step: int
    rows: int
    accuracy: float | None
    accuracy_desirable: float | None = None
    accuracy_undesirable: float | None = None
    reward_desirable: float | None = None
    reward_undesirable: float | None = None
    margin: float | None = None
    loss: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """A generated answer. ``finished``: the model ended it itself before the token limit."""

    prompt: str
    text: str
    finished: bool


class Sampled(Event, frozen=True, kw_only=True, tag="sampled"):
    """Greedy answers at ``step`` (0: the base model) to the fixed prompts, with plain measures, then to others.

    The newest one of step 0 has the base model's answer to every prompt of the steps after it.
    """

    step: int
    answers: tuple[Answer, ...]
    mean_words: float | None = None
    finished_share: float | None = None
    behaviour_share: float | None = None
    behaviour: str | None = None


class GaugesRead(Event, frozen=True, kw_only=True, gc=False, tag="gauges_read"):
    """What the supervisor measured; also the heartbeat. Bytes, percent of one core, degrees Celsius, watts.

    Attributes:
        wired_bytes: host memory that can be neither paged nor compressed, where the system counts it (macOS).
        gpu_used_bytes: by all programs.
        gpu_total_bytes: where the GPU shares the host's memory, all of that.
        thermal_pressure: macOS's word: nominal, moderate, heavy, trapping or sleeping.
    """

    process_bytes: int | None = None
    host_available_bytes: int | None = None
    wired_bytes: int | None = None
    cpu_percent: float | None = None
    gpu_used_bytes: int | None = None
    gpu_total_bytes: int | None = None
    gpu_process_bytes: int | None = None
    gpu_percent: float | None = None
    gpu_celsius: float | None = None
    gpu_watts: float | None = None
    thermal_pressure: str | None = None


class AllocatorRead(Event, frozen=True, kw_only=True, gc=False, tag="allocator_read"):
    """What the backend's memory allocator says of itself inside the training process, where nobody else can ask.

    Attributes:
        active_bytes: in arrays that are in use.
        cache_bytes: freed and kept for reuse; not part of ``active_bytes``.
        peak_bytes: most that was active since the process began or the peak was reset.
        step: optimizer steps done, of which not each may be a point of the curves.
    """

    active_bytes: int
    cache_bytes: int
    peak_bytes: int
    step: int | None = None


class PeakMeasured(Event, frozen=True, kw_only=True, tag="peak_measured"):
    """Peak memory after the first step, in bytes: inside torch's allocations, what was predicted there, and outside.

    ``row_tokens``: mean tokens of a row of the largest pack, which the prediction was made for.
    """

    allocated_bytes: int
    reserved_bytes: int | None = None
    outside_bytes: int | None = None
    process_bytes: int | None = None
    predicted_bytes: int | None = None
    row_tokens: int | None = None


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint of ``size_bytes`` is complete on disk."""

    step: int
    path: str
    size_bytes: int


class AdapterSaved(Event, frozen=True, kw_only=True, tag="adapter_saved"):
    """The final adapter is complete on disk."""

    path: str
    size_bytes: int


class Noted(Event, frozen=True, kw_only=True, tag="noted"):
    """Something a person should know that does not end the run."""

    text: str


class Ended(Event, frozen=True, kw_only=True, tag="ended"):
    """The last word of a run.

    Attributes:
        reason: finished, stopped, paused or failed.
        message: what happened and how to go on, in sentences.
        bad_input: mended by the user's files.
        cause: of a failure; None where it is not known.
    """

    reason: str
    message: str = ""
    bad_input: bool = False
    cause: Cause | None = None


AnyEvent = (
    WorkerStarted
    | Queued
    | Resumed
    | Adjusted
    | MemoryRanOut
    | Marked
    | PhaseEntered
    | DataPrepared
    | TrainingStarted
    | StepCompleted
    | Evaluated
    | Sampled
    | GaugesRead
    | AllocatorRead
    | PeakMeasured
    | CheckpointSaved
    | AdapterSaved
    | Noted
    | Ended
)


def finite(value: Any) -> float | None:  # noqa: ANN401
    """``value`` as a float, None where it is missing, not a number or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
