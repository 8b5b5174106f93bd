"""One KTO run on TRL from rows to adapter."""

import os
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import KTOConfig

from kto_tui.backends.base import Job
from kto_tui.backends.hf.callback import EventCallback
from kto_tui.backends.hf.checkpoint import SaveCallback
from kto_tui.backends.hf.device import Device, choose_device
from kto_tui.backends.hf.generation import end_tokens, greedy
from kto_tui.backends.hf.head import completion_tokens_only
from kto_tui.backends.hf.interval_callback import IntervalCallback
from kto_tui.backends.hf.kto.resumable import ResumableKTOTrainer
from kto_tui.backends.hf.kto.scorer import without_gradient
from kto_tui.backends.hf.model import load_model
from kto_tui.backends.hf.peak import prediction, reading
from kto_tui.backends.hf.relief import release
from kto_tui.backends.hf.trackers import TrackerCallback
from kto_tui.backends.training.adapter_folder import save_adapter
from kto_tui.backends.training.answers import Sampler, fixed_prompts
from kto_tui.backends.training.changes import last_step
from kto_tui.backends.training.measures import Measures
from kto_tui.backends.training.model_files import context_of, locate, room_for
from kto_tui.backends.training.peak import PeakProbe, forget_process_peak
from kto_tui.backends.training.points import Points
from kto_tui.backends.training.reference import ReferenceCache, cache_key, kernels_fingerprint, model_fingerprint
from kto_tui.backends.training.resume import facts, newest
from kto_tui.backends.training.rewards import HeldoutRewards
from kto_tui.backends.training.rows import PreparedRows, prepare_rows
from kto_tui.backends.training.tokenizer import load_tokenizer
from kto_tui.backends.training.trackers import Tracker, tracked
from kto_tui.data.sources import Source, open_source
from kto_tui.errors import UserError
from kto_tui.paths import cache_home
from kto_tui.recipe import LORA_TARGETS, Recipe
from kto_tui.runs.control import Action
from kto_tui.runs.events import Noted, PhaseEntered, Resumed
from kto_tui.runs.state import fold

KERNELS = Path(__file__).parent / "kto"


def trainer_arguments(recipe: Recipe, rows: PreparedRows, device: Device, output: Path) -> KTOConfig:
    """The recipe as TRL's configuration (``trl.KTOConfig``)."""
    return KTOConfig(
        output_dir=str(output),
        beta=recipe.beta,
        loss_type=recipe.loss_type,
        desirable_weight=rows.desirable_weight,
        undesirable_weight=rows.undesirable_weight,
        max_length=recipe.max_length,
        per_device_train_batch_size=recipe.effective_batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        max_grad_norm=recipe.max_grad_norm,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.steps or -1,
        optim=recipe.optimizer,
        bf16=device.autocast and device.precision == "bf16",
        fp16=device.autocast and device.precision == "fp16",
        gradient_checkpointing=recipe.gradient_checkpointing,
        logging_steps=recipe.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        seed=recipe.seed,
        report_to="none",
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
    )


def build_trainer(
    model: Any,  # noqa: ANN401 - any architecture
    tokenizer: PreTrainedTokenizerBase,
    rows: PreparedRows,
    job: Job,
    device: Device,
    folder: Path,
) -> ResumableKTOTrainer:
    """The exact trainer with a fresh LoRA adapter, without any of the callbacks that print.

    Args:
        model: the base model.
        tokenizer: its tokenizer.
        rows: prepared rows.
        job: the run.
        device: what it runs on.
        folder: where the base model was read from; identifies the reference.
    """
    recipe = job.config.recipe
    targets = LORA_TARGETS[recipe.lora_targets]
    try:
        with room_for(job.config.model):
            trainer = ResumableKTOTrainer(
                model=model,
                args=trainer_arguments(recipe, rows, device, job.run.checkpoints),
                windows=rows.windows,
                micro_batch=recipe.micro_batch,
                reference=ReferenceCache(_reference_file(folder, rows, recipe, device)),
                long_rows=recipe.long_rows,
                note=lambda text: job.emit(Noted(text=text)),
                adjusted=job.emit,
                processing_class=tokenizer,
                peft_config=LoraConfig(
                    r=recipe.lora_rank,
                    lora_alpha=recipe.lora_alpha,
                    target_modules=targets if isinstance(targets, str) else list(targets),
                    task_type="CAUSAL_LM",
                ),
            )
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise
        raise UserError(
            f"The model has no layers called {', '.join(targets)}",
            mend="Set lora_targets to full",
            where=job.config.model,
        ) from error
    trainer.remove_callback(PrinterCallback)
    if recipe.quantization == "nf4" and device.precision == "fp16":
        # TRL casts adapters of quantised models to bf16; fp16's gradient scaler cannot unscale bf16 gradients.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer


def _reference_file(folder: Path, rows: PreparedRows, recipe: Recipe, device: Device) -> Path:
    """Where the reference scores of these rows under this model are kept, told apart by all they depend on."""
    key = cache_key(
        {
            "model": model_fingerprint(folder),
            "rows": rows.fingerprint,
            "rank": f"{os.environ.get('RANK', '0')} of {os.environ.get('WORLD_SIZE', '1')}",
            "quantization": recipe.quantization,
            "precision": device.precision,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
            "threads": str(torch.get_num_threads()),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "kernels": kernels_fingerprint(KERNELS),
        }
    )
    return cache_home() / "reference" / f"{key}.jsonl"


def _load(job: Job) -> tuple[Source, Device, Path, PreTrainedTokenizerBase, PreparedRows, PeakProbe, Any]:
    job.enter("reading the data")
    source = open_source(job.config.data, job.config.heldout, job.config.choices)
    device = choose_device(job.config.recipe)
    job.enter("looking for the model")
    folder = locate(job)
    job.enter("counting tokens")
    tokenizer = load_tokenizer(folder)
    rows = prepare_rows(source, tokenizer, job, context=context_of(folder))
    job.enter("loading the model")
    probe = PeakProbe(job, device.type, reading(device), prediction(job.config.recipe, device))
    model = load_model(folder, job, device)
    forget_process_peak()
    return source, device, folder, tokenizer, rows, probe, model


def train(job: Job) -> Action | None:
    """Train ``job`` to its end or until asked to stop; see ``kto_tui.backends.base.Backend``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tracked(job) as (followed, tracker):
        return _train(followed, tracker)


def _train(job: Job, tracker: Tracker | None) -> Action | None:
    source, device, folder, tokenizer, rows, probe, model = _load(job)
    recipe, known = job.config.recipe, job.run.read_state()
    belongs = facts(job, source, rows, folder, f"{device.type} {device.precision}")
    saved = newest(job, belongs, known)
    known = fold(known, [Resumed(step=0 if saved is None else saved.step)])
    with completion_tokens_only():
        trainer = build_trainer(model, tokenizer, rows, job, device, folder)
        heldout: HeldoutRewards | None = None
        if rows.heldout:
            heldout = HeldoutRewards(
                without_gradient(trainer.scorer(trainer.model)),
                rows.heldout,
                trainer.reference_model,
                beta=recipe.beta,
                # No more tokens than the KL pass takes, which the memory prediction knows.
                max_rows=min(recipe.effective_batch, trainer.step.room * recipe.micro_batch),
                interrupted=lambda: job.requested() is not None,
                told=job.emit,
                release=release,
            )
        measures = Measures(job, heldout, _sampler(trainer, tokenizer, source, rows, job))
        measures.ask_base(known)
        next_window = 0 if saved is None else saved.manifest.window % len(rows.windows)
        points = Points(job)
        callback = EventCallback(job, trainer.model, device, points, lambda: probe.report(rows.windows[next_window]))
        at_intervals = IntervalCallback(job, known, measures, points.exclude)
        saves = SaveCallback(job, trainer, points, belongs, saved, at_intervals.changes.intervals)
        # After the event log, and before what is measured as training begins.
        trackers = [] if tracker is None else [TrackerCallback(tracker, job.run)]
        for one in (callback, *trackers, at_intervals, saves):
            trainer.add_callback(one)
        if saved is not None and saved.step >= last_step(job, trainer.planned_steps()):
            trainer.restore_done(saved.path)
        else:
            job.enter("training")
            trainer.train(resume_from_checkpoint=None if saved is None else str(saved.path))
        done = trainer.state.global_step
        if saves.saver.paused or callback.ended_by == "abort":
            return "pause" if saves.saver.paused else "abort"
        save_adapter(job, lambda into: _write_adapter(trainer.model, tokenizer, into), base=folder, steps=done)
        # What was learnt is safe now: a request from here on only skips the rest, as does an earlier process's work.
        scored = any(evaluated.step == done for evaluated in known.evaluations)
        if not scored and not _skipped(job, callback, "scoring the held-out rows"):
            measures.evaluate(done)
        asked = any(sampled.step == done for sampled in known.samples)
        if not asked and not _skipped(job, callback, "asking the tuned model"):
            measures.sample(done)
    return callback.ended_by


def _sampler(
    trainer: ResumableKTOTrainer, tokenizer: PreTrainedTokenizerBase, source: Source, rows: PreparedRows, job: Job
) -> Sampler:
    ends = end_tokens(trainer.model, tokenizer)
    return Sampler(
        tokenizer,
        fixed_prompts(source, rows),
        source.behaviour,
        greedy(trainer.model, tokenizer, ends),
        trainer.reference_model,
        ends,
        job.emit,
        release,
    )


def _write_adapter(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:  # noqa: ANN401
    """PEFT's files and the tokenizer's."""
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _skipped(job: Job, callback: EventCallback, phase: str) -> bool:
    """Whether a request cuts off what follows the training; announces the phase otherwise."""
    callback.ended_by = callback.ended_by or job.requested()
    if callback.ended_by is None:
        job.emit(PhaseEntered(phase=phase))
    return callback.ended_by is not None
