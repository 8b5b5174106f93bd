"""What a finished run says of this machine's speed, for the estimates of later runs."""

import statistics

from kto_tui.catalog import resolve
from kto_tui.hardware import Hardware
from kto_tui.memory.measured import SpeedRecord
from kto_tui.runs.config import load_config
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import GaugesRead, StepCompleted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.recovery import in_force
from kto_tui.runs.state import RunState, fold
from kto_tui.speed import flops_per_token

LEAST_STEPS = 5


def speed_of(run: RunFolder, hardware: Hardware) -> SpeedRecord | None:
    """Mean speed and draw of ``run`` over its steps but those of the first point, which also warm up.

    None for a run that did not finish, was short, trained on another device than the machine's own, changed its
    recipe on the way, or whose model's size is unknown.

    Raises:
        UserError: the run's configuration or its model can no longer be read.
    """
    tail, state, watts, steps = Tail(run.events), RunState(), list[tuple[float, float]](), list[StepCompleted]()
    while events := tail.read():
        state = fold(state, events)
        watts += [(one.t, one.gpu_watts) for one in events if isinstance(one, GaugesRead) and one.gpu_watts]
        steps += [one for one in events if isinstance(one, StepCompleted)]
    training, later = state.training, steps[1:]
    if state.ended is None or state.ended.reason != "finished" or state.step < LEAST_STEPS or training is None:
        return None
    tokens, seconds = sum(step.tokens or 0 for step in later), sum(step.seconds or 0.0 for step in later)
    config = load_config(run.config)
    # CUDA and Metal give their devices' names.
    named = "mps" if config.backend == "mlx" else "cuda"
    device = training.device if training.device in {"cpu", "mps"} else named
    if in_force(config, state.adjustments) != config:
        return None
    per_token = flops_per_token(resolve(config.model), config.recipe)
    name = hardware.device_name
    if device != hardware.device or name is None or per_token is None or tokens <= 0 or seconds <= 0:
        return None
    drawn = [value for t, value in watts if steps[0].t <= t <= steps[-1].t]
    return SpeedRecord(
        device=name,
        run=run.id,
        precision=training.precision,
        flops=tokens / seconds * per_token,
        watts=statistics.mean(drawn) if drawn else None,
        backend=config.backend,
    )
