"""Started by mlx.launch: trains one rank's share of the windows and writes what it saw."""

import json
import sys
from pathlib import Path

import msgspec
import numpy as np

from tests.backends.mlx.trainings import RECIPE, adapters, mlx_model, mlx_trainer, take_steps, uneven_windows

model, output = Path(sys.argv[1]), Path(sys.argv[2])
for method in sys.argv[3:]:
    recipe = msgspec.structs.replace(RECIPE, method=method, micro_batch=3)
    trainer = mlx_trainer(mlx_model(model, recipe), uneven_windows(), recipe)
    steps = take_steps(trainer, 4)
    ranks = trainer.share(0).ranks
    rank = next(rank for rank in range(ranks) if trainer.share(0).rows == trainer.windows[0][rank::ranks])
    np.savez(output / f"{method}-{rank}.npz", **adapters(trainer))
    logs = {"ranks": ranks, "steps": [step.logs for step in steps]}
    (output / f"{method}-{rank}.json").write_text(json.dumps(logs), encoding="utf-8")
