"""TRL's KTOTrainer with the step made exact: one batch is one effective batch, cut into packs inside the step."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase
from trl import KTOConfig, KTOTrainer
from trl.models.utils import disable_gradient_checkpointing

from kto_tui.backends.hf.kto.architectures import why_plain
from kto_tui.backends.hf.kto.lora import fuse_lora
from kto_tui.backends.hf.kto.scorer import PackedScorer, PaddedScorer, Scorer, install_packs
from kto_tui.backends.hf.kto.step import WITH_CHECKPOINTING, WITHOUT_GRADIENT, KtoStep, StepResult
from kto_tui.backends.hf.relief import release
from kto_tui.backends.training.guards import StepGuard
from kto_tui.backends.training.memory_relief import MemoryRelief
from kto_tui.backends.training.reference import ReferenceCache
from kto_tui.backends.training.share import Share
from kto_tui.data.prepare import Window, deal, longest
from kto_tui.methods.kto_figures import LabelSums, figures
from kto_tui.methods.kto_loss import LossSettings
from kto_tui.runs.events import Adjusted

Batch = dict[str, tuple[int, Window]]


def _one(batch: list[Batch]) -> Batch:
    return batch[0]


class _Batches:
    """Windows with their indices; each is read when its turn comes."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Batch:
        return {"window": (index, self._windows[index])}


class ExactKTOTrainer(KTOTrainer):  # type: ignore[misc]
    """Trains on prepared windows; the Trainer's loop, optimizer, schedule, checkpoints and logging are TRL's.

    ``args.per_device_train_batch_size`` and ``gradient_accumulation_steps`` are not used: a window is one batch.

    Args:
        windows: effective batches from ``kto_tui.data.prepare``.
        eval_windows: held-out ones, with KL pairs of their own.
        micro_batch: rows per pack, at most.
        reference: cache of reference scores; None keeps them in memory.
        long_rows: what is done with a row that memory cannot hold: "cut" or "skip".
        note: told, in words, what a person should know.
        adjusted: told what was changed because memory ran out.
        plain: take the padded path even where the packed one is proven.
        options: those of ``trl.KTOTrainer``, without datasets and collator.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - any causal language model
        args: KTOConfig,
        *,
        windows: Sequence[Window],
        eval_windows: Sequence[Window] = (),
        processing_class: PreTrainedTokenizerBase,
        micro_batch: int,
        reference: ReferenceCache | None = None,
        long_rows: str = "cut",
        note: Callable[[str], None] = lambda _: None,
        adjusted: Callable[[Adjusted], None] = lambda _: None,
        plain: bool = False,
        **options: Any,  # noqa: ANN401
    ) -> None:
        reason = why_plain(model.config, max(longest(windows), longest(eval_windows), args.max_length or 0))
        if reason is not None:
            note(f"Rows are padded instead of packed: {reason}")
        packed = reason is None and not plain
        if packed:
            install_packs(model)
        # Full fine-tuning scores its reference before the first step: a second model in memory is not needed.
        full = options.get("peft_config") is None and not is_peft_model(model)
        args.precompute_ref_log_probs = full
        # Processes may cut their shares into different numbers of packs, so a pass must not wait for the others.
        args.ddp_broadcast_buffers = False
        args.gradient_accumulation_steps = 1
        self._full = full
        self._scored = self._loss_broke = False
        self._tokens_logged = 0
        super().__init__(
            model=model,
            args=args,
            train_dataset=_indices(windows),
            eval_dataset=_indices(eval_windows) if eval_windows else None,
            processing_class=processing_class,
            **options,
        )
        self.fused_layers = fuse_lora(self.model) if packed else 0
        self.windows = windows
        self._eval_windows = eval_windows
        self.model_accepts_loss_kwargs = False
        if getattr(self, "aux_loss_enabled", False):
            note("The loss is KTO's alone: the auxiliary loss of this model's router is left out")
        self._packed = packed
        self._pad = processing_class.pad_token_id
        cache = ReferenceCache() if reference is None else reference
        self.step = self._step(cache, micro_batch)
        self._eval_step = self._step(ReferenceCache(), micro_batch)
        self._guard = StepGuard(note, learning_rate=args.learning_rate)
        self._relief = MemoryRelief(
            adjusted, long_rows=long_rows, checkpointing=args.gradient_checkpointing, release=release
        )

    def _step(self, cache: ReferenceCache, micro_batch: int) -> KtoStep:
        return KtoStep(
            self.scorer(self.model),
            LossSettings(self.beta, self.loss_type, self.desirable_weight, self.undesirable_weight),
            reference_model=None if self._full else self.reference_model,
            cache=cache,
            micro_batch=micro_batch,
            add_up=self._add_up,
            device=self.accelerator.device,
            room=WITH_CHECKPOINTING if self.args.gradient_checkpointing else WITHOUT_GRADIENT,
        )

    def scorer(self, model: Any) -> Scorer:  # noqa: ANN401
        """How rows are scored under ``model`` (this trainer's, as it is or wrapped)."""
        if self._packed:
            return PackedScorer(model, self.accelerator.device)
        return PaddedScorer(model, self.accelerator.device, self._pad)

    @contextlib.contextmanager
    def reference_model(self) -> Any:  # noqa: ANN401 - a generator
        """Inside, the model is the reference: adapters are off."""
        base = self.accelerator.unwrap_model(self.model)
        with disable_gradient_checkpointing(base, self.args.gradient_checkpointing_kwargs), base.disable_adapter():
            yield

    def _add_up(self, value: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(value, reduction="sum")
        return total

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:  # noqa: ANN401
        """Windows are prepared already (``kto_tui.data.prepare``); the datasets hold their indices only."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:  # noqa: ANN401
        """Reference scores are kept by window, see ``train``."""
        return dataset

    def get_train_dataloader(self) -> DataLoader[Batch]:
        """Whole windows in order; every process takes its share of each in ``training_step``."""
        return DataLoader(_Batches(self.windows), batch_size=1, shuffle=False, collate_fn=_one)

    def floating_point_ops(self, _inputs: Batch) -> int:
        """Not counted: windows are not tensors."""
        return 0

    def train(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Train; when all weights are trained, the reference is scored while the model still is the reference."""
        self._score_ahead()
        return super().train(*args, **kwargs)

    def _score_ahead(self) -> None:
        if not self._full or self._scored:
            return
        base = self.accelerator.unwrap_model(self.model)
        for step, windows in ((self.step, self.windows), (self._eval_step, self._eval_windows)):
            step.reference_model = lambda: disable_gradient_checkpointing(base, self.args.gradient_checkpointing_kwargs)
            with self.accelerator.autocast():
                for index, window in enumerate(windows):
                    step.reference(self._share(index, window))
            step.reference_model = None
        self._scored = True

    def _share(self, index: int, window: Window) -> Share:
        ranks = self.accelerator.num_processes
        rows = deal(window, rank=self.accelerator.process_index, ranks=ranks)
        return Share(index, rows, len(window), ranks)

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ANN401, ARG002
        """Forward and backward of one window; the returned loss is its mean on this process, times processes."""
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()  # schedule-free optimizers
        self.step.scorer.model = model
        share = self._share(*inputs["window"])

        def attempt(share: Share) -> StepResult:
            return self.step.run(share, self.accelerator.backward, lambda: self.accelerator.no_sync(model))

        with self.maybe_activation_offload_context:
            result, share = self._relief.run(self.step, share, attempt, model.zero_grad)
        tokens = sum(row.length for row in share.rows)
        self._total_train_tokens += int(self._add_up(torch.tensor(tokens, device=self.accelerator.device)))
        record(self._metrics["train"], result, self.beta, self._add_up)
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        self._last = (result, share)
        if torch.isfinite(result.loss):
            return result.loss
        # The Trainer sums losses between log lines; a NaN would never leave that sum again.
        self._loss_broke = True
        return torch.zeros_like(result.loss)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """The Trainer's, with no loss where one of the steps had none, and the tokens since the last point."""
        if "loss" in logs:
            logs = {**logs, "tokens": self._total_train_tokens - self._tokens_logged}
            self._tokens_logged = self._total_train_tokens
            if self._loss_broke:
                logs["loss"] = float("nan")
                self._loss_broke = False
        super().log(logs, *args, **kwargs)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:  # noqa: ANN401
        """The gradient norm, as ever; a step whose loss or gradients are not finite is emptied here."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        result, share = self._last
        settings = self.step.settings

        def largest_reward() -> float:
            ratios = result.log_ratios[torch.isfinite(result.log_ratios)]
            return settings.beta * float(ratios.abs().max()) if ratios.numel() else 0.0

        if not self._guard.passes(
            loss_finite=bool(torch.isfinite(result.loss)),
            gradients_finite=bool(torch.isfinite(torch.as_tensor(norm))),
            rows=share.rows,
            settings=settings,
            reference_finite=lambda: bool(torch.isfinite(result.reference).all()),
            largest_reward=largest_reward,
            scaled=self.accelerator.scaler is not None,
        ):
            for parameter in model.parameters():
                parameter.grad = None
        return norm

    def evaluate(
        self,
        eval_dataset: Any = None,  # noqa: ANN401, ARG002 - the Trainer passes its own
        ignore_keys: list[str] | None = None,  # noqa: ARG002
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss of the held-out rows; KL and rewards are means over their windows."""
        self._score_ahead()
        training = self.model.training
        self.model.eval()
        values: dict[str, list[float]] = defaultdict(list)
        self._eval_step.scorer.model = self.model_wrapped
        loss, rows = 0.0, 0
        for index, window in enumerate(self._eval_windows):
            share = self._share(index, window)
            with self.accelerator.autocast():
                result = self._eval_step.run(share, None)
            loss += float(self._add_up(result.loss)) / share.ranks * share.total
            rows += share.total
            record(values, result, self.beta, self._add_up)
        metrics = {f"{metric_key_prefix}_loss": loss / rows if rows else float("nan")}
        metrics |= {f"{metric_key_prefix}_{name}": sum(each) / len(each) for name, each in values.items()}
        self._metrics["eval"].clear()
        self.log(dict(metrics))
        self.model.train(training)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def record(
    metrics: dict[str, list[float]],
    result: StepResult,
    beta: float,
    add_up: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """Append a window's figures under TRL's names; a label the window does not have leaves no figure."""
    labels = []
    for chosen, sign in ((result.desirable, 1), (~result.desirable, -1)):
        ratios, log_probs = result.log_ratios[chosen], result.log_probs[chosen]
        right = (sign * ratios > 0).float().sum()
        here = torch.stack(
            [torch.tensor(float(len(ratios)), device=ratios.device), ratios.sum(), log_probs.sum(), right]
        )
        labels.append(LabelSums(*add_up(here).tolist()))
    for name, value in figures(*labels, kl=float(result.kl), beta=beta).items():
        metrics[name].append(value)


def _indices(windows: Sequence[Window]) -> Dataset:
    return Dataset.from_dict({"window": list(range(len(windows)))})
