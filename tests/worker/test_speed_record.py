"""What a run's event log says of the machine's speed, on constructed logs."""

from pathlib import Path

import msgspec
import pytest

from kto_tui.catalog import resolve
from kto_tui.draft import starter_draft, to_config
from kto_tui.runs.config import load_config
from kto_tui.runs.events import AnyEvent, Ended, GaugesRead, StepCompleted, TrainingStarted
from kto_tui.runs.folder import RunFolder, create_run
from kto_tui.speed import flops_per_token
from kto_tui.worker.speed_record import speed_of
from tests.tui.machines import LAPTOP, RTX_3070


def training(device: str) -> TrainingStarted:
    return TrainingStarted(
        t=9, total_steps=6, device=device, precision="bf16", trainable_parameters=1, total_parameters=2
    )


def steps(count: int = 6) -> list[StepCompleted]:
    """A slow first step, then 100 tokens a second."""
    return [
        StepCompleted(
            t=10.0 + at, step=at, total_steps=count, tokens=100 if at > 1 else 10, seconds=1.0 if at > 1 else 9.0
        )
        for at in range(1, count + 1)
    ]


GAUGES = [
    GaugesRead(t=t, gpu_watts=watts) for t, watts in ((1, 20.0), (12, 200.0), (13, None), (15, 240.0), (99, 20.0))
]
FINISHED = Ended(t=100, reason="finished")
WHOLE = [training("NVIDIA GeForce RTX 3070"), *steps(), *GAUGES, FINISHED]


def run_with(events: list[AnyEvent]) -> RunFolder:
    run = create_run(to_config(starter_draft(LAPTOP)))
    with run.events.open("ab") as file:
        file.writelines(msgspec.json.encode(event) + b"\n" for event in events)
    return run


def test_mean_speed_leaves_out_the_first_step_and_draw_is_that_of_the_steps() -> None:
    run = run_with(WHOLE)
    found = speed_of(run, RTX_3070)
    config = load_config(run.config)
    per_token = flops_per_token(resolve(config.model), config.recipe)
    assert found is not None
    assert per_token is not None
    assert (found.device, found.run, found.precision) == ("NVIDIA GeForce RTX 3070", run.id, "bf16")
    assert found.flops == pytest.approx(100 * per_token)
    assert found.watts == pytest.approx(220), "idle before and after does not count"


def test_without_a_sensor_the_draw_is_unknown() -> None:
    found = speed_of(run_with([training("cpu"), *steps(), FINISHED]), LAPTOP)
    assert found is not None
    assert found.watts is None


@pytest.mark.parametrize(
    "events",
    [
        [training("cuda"), *steps(4), FINISHED],
        [training("cuda"), *steps()],
        [training("cuda"), *steps(), Ended(reason="stopped")],
        [*steps(), FINISHED],
        [training("cuda"), *(msgspec.structs.replace(step, tokens=None) for step in steps()), FINISHED],
        [training("cuda"), steps()[-1], FINISHED],
        [training("cpu"), *steps(), FINISHED],
        [],
    ],
    ids=["short", "running", "stopped", "no start", "no tokens", "one point", "torch without CUDA", "nothing"],
)
def test_no_speed_is_learnt_from_less(events: list[AnyEvent], tmp_path: Path) -> None:
    assert speed_of(run_with(events), RTX_3070) is None
