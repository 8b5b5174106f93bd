"""Started by torchrun: trains one rank's share of the windows at each micro-batch and writes what it saw."""

import json
import sys
import warnings
from pathlib import Path

import torch

warnings.simplefilter("ignore")
from tests.backends.kto.conftest import Bench, record  # noqa: E402 - warnings first

model, output = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
bench = Bench(model, output / "out", rows=43)
for micro_batch in map(int, sys.argv[3:]):
    trainer = bench.exact(micro_batch, arguments={"ddp_backend": "gloo", "num_train_epochs": 2, "max_grad_norm": 0.0})
    steps = record(trainer)
    if trainer.accelerator.is_main_process:
        torch.save([step.gradient for step in steps], output / f"gradients-{micro_batch}.pt")
        logs = json.dumps([step.logs for step in steps])
        (output / f"steps-{micro_batch}.json").write_text(logs, encoding="utf-8")
