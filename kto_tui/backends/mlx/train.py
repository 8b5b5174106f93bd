"""One KTO or SFT run on MLX from rows to adapter."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.allocator_gauges import AllocatorGauges
from kto_tui.backends.base import Job
from kto_tui.backends.mlx import checkpoint
from kto_tui.backends.mlx.building import build_trainer
from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.device import Device, allocator, choose_device, release, wire
from kto_tui.backends.mlx.generation import end_ids, generator
from kto_tui.backends.mlx.heldout import heldout_of
from kto_tui.backends.mlx.loop import Loop
from kto_tui.backends.mlx.lora import attach, parameter_counts
from kto_tui.backends.mlx.model import Base, load_base
from kto_tui.backends.mlx.peak import probe_of
from kto_tui.backends.mlx.peft_format import peft_layers, readme, weight_names, write_adapter
from kto_tui.backends.mlx.ranks import Ranks
from kto_tui.backends.mlx.trackers import Followed
from kto_tui.backends.mlx.trainer import Trainer
from kto_tui.backends.training.adapter_folder import save_adapter
from kto_tui.backends.training.answers import Sampler, fixed_prompts
from kto_tui.backends.training.changes import Changes, last_step
from kto_tui.backends.training.measures import Measures
from kto_tui.backends.training.model_files import context_of, locate
from kto_tui.backends.training.points import Points
from kto_tui.backends.training.resume import facts, newest, same_windows
from kto_tui.backends.training.rows import PreparedRows, prepare_rows
from kto_tui.backends.training.saving import Saver
from kto_tui.backends.training.tokenizer import load_tokenizer
from kto_tui.backends.training.trackers import Tracker, tracked
from kto_tui.data.sources import Source, open_source
from kto_tui.runs.control import Action
from kto_tui.runs.events import Noted, PhaseEntered, Resumed, TrainingStarted
from kto_tui.runs.state import RunState, fold


class Loaded(msgspec.Struct, frozen=True):
    """What a run needs before its first step.

    ``peft`` are PEFT's names of the layers with adapters, by mlx-lm's; None where it has none for them.
    """

    source: Source
    device: Device
    folder: Path
    tokenizer: PreTrainedTokenizerBase
    rows: PreparedRows
    base: Base
    peft: dict[str, str] | None


def train(job: Job) -> Action | None:
    """Train ``job`` to its end or until asked to stop; see ``kto_tui.backends.base.Backend``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tracked(job) as (followed, tracker):
        loaded, probe = _load(followed)
        return _train(followed, loaded, probe, tracker)


def _load(job: Job) -> tuple[Loaded, Callable[[Any], None]]:
    recipe = job.config.recipe
    job.enter("reading the data")
    source = open_source(job.config.data, job.config.heldout, job.config.choices)
    device = choose_device(recipe)
    wire(device)
    job.enter("looking for the model")
    folder = locate(job)
    job.enter("counting tokens")
    tokenizer = load_tokenizer(folder)
    rows = prepare_rows(source, tokenizer, job, context=context_of(folder))
    job.enter("loading the model")
    probe = probe_of(job, device)
    base = load_base(folder, recipe, device, job.config.model)
    for note in base.notes:
        job.emit(Noted(text=note))
    attach(base.model, recipe)
    peft = peft_layers(base.model, weight_names(folder), base.config["model_type"])
    if peft is None:
        job.emit(Noted(text="The adapter will be for mlx-lm alone: the checkpoint's layers have other names than its"))
    mx.reset_peak_memory()
    return Loaded(source, device, folder, tokenizer, rows, base, peft), probe


def _train(job: Job, here: Loaded, probe: Callable[[Any], None], tracker: Tracker | None) -> Action | None:
    rows, known = here.rows, job.run.read_state()
    belongs = facts(job, here.source, rows, here.folder, f"mlx {here.device.type} {here.device.precision}")
    saved = newest(job, belongs, known)
    known = fold(known, [Resumed(step=0 if saved is None else saved.step)])
    trainer, passes = build_trainer(job, here.base, rows, here.device, here.folder, Ranks())
    heldout = heldout_of(job, trainer, passes, rows)
    measures = Measures(job, heldout, _sampler(job, here, passes))
    measures.ask_base(known)
    points, changes = Points(job, None if tracker is None else tracker.log), Changes(job, known)
    saver = Saver(
        job,
        lambda into: checkpoint.write(trainer, into, seconds=points.unlogged_seconds()),
        trainer.checkpoint_bytes,
        belongs,
        len(rows.windows),
        saved,
        changes.intervals,
    )
    ended: Action | None = None
    if saved is not None:
        points.carry(checkpoint.restore(trainer, saved.path, same_rows=same_windows(saved, belongs)))
    if tracker is not None:
        tracker.begin(_followed(job, here, trainer).open)
    if saved is None and heldout is not None:
        _score_base(job, measures, known)
    if trainer.progress.step < last_step(job, trainer.total_steps):
        job.enter("training")
        _announce(job, here, trainer)
        window = rows.windows[trainer.progress.step % len(rows.windows)]
        after = _after_step(job, trainer, lambda: probe(window))
        ended = Loop(job, known, trainer, measures, points, saver, changes, after).run()
        if ended in {"pause", "abort"}:
            return ended
    return _finish(job, here, trainer, measures, known, ended)


def _score_base(job: Job, measures: Measures, known: RunState) -> None:
    """The base model's held-out loss, unless it is known; under KTO its rewards are 0 by definition."""
    if job.config.recipe.method == "sft" and all(one.step for one in known.evaluations):
        job.enter("scoring the held-out rows")
        measures.evaluate(0)


def _finish(
    job: Job, here: Loaded, trainer: Trainer, measures: Measures, known: RunState, ended: Action | None
) -> Action | None:
    done = trainer.progress.step
    save_adapter(
        job,
        lambda into: _write(here, trainer, job, into),
        base=here.folder,
        steps=done,
        readme=readme(job, here.folder, done, here.base.quantised, peft=here.peft is not None),
    )
    # What was learnt is safe now: a request from here on only skips the rest, as does an earlier process's work.
    for already, phase, take in (
        (known.evaluations, "scoring the held-out rows", measures.evaluate),
        (known.samples, "asking the tuned model", measures.sample),
    ):
        if any(one.step == done for one in already):
            continue
        ended = ended or job.requested()
        if ended is None:
            job.emit(PhaseEntered(phase=phase))
            take(done)
    return ended


def _write(here: Loaded, trainer: Trainer, job: Job, folder: Path) -> None:
    write_adapter(trainer.model, job.config.recipe, here.folder, folder, peft=here.peft)
    here.tokenizer.save_pretrained(folder)


def _sampler(job: Job, here: Loaded, passes: Passes) -> Sampler:
    ends = end_ids(here.tokenizer, here.base.config)
    return Sampler(
        here.tokenizer,
        fixed_prompts(here.source, here.rows),
        here.source.behaviour,
        generator(here.base.model, here.tokenizer, ends),
        passes.reference_model,
        ends,
        job.emit,
        release,
    )


def _announce(job: Job, here: Loaded, trainer: Trainer) -> None:
    trained, every = parameter_counts(trainer.model)
    name = mx.device_info().get("device_name") if here.device.type == "metal" else None
    weights = [] if here.base.quantised is None else [here.base.quantised.word]
    job.emit(
        TrainingStarted(
            total_steps=trainer.total_steps,
            device=str(name or here.device.type),
            precision=", ".join([*weights, here.device.precision]),
            trainable_parameters=trained,
            total_parameters=every,
        )
    )


def _followed(job: Job, here: Loaded, trainer: Trainer) -> Followed:
    settings = {**msgspec.to_builtins(job.config.recipe), "model": job.config.model, "backend": "mlx"}
    return Followed(job.run, settings, here.base.config, parameter_counts(trainer.model)[1])


def _after_step(job: Job, trainer: Trainer, first: Callable[[], None]) -> Callable[[], None]:
    """Called after every step: reads the allocator, and measures the first step."""
    gauges, pending = AllocatorGauges(job.emit, allocator), [first]

    def after() -> None:
        while pending:
            pending.pop()()
        gauges.tick(trainer.progress.step)

    return after
