"""A run whose model is not here yet: the worker downloads it, says how far it is, and says why when it cannot."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kto_tui.draft import from_request, to_config
from kto_tui.hardware import detect
from kto_tui.runs.config import RunRequest
from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import AnyEvent, Ended, PhaseEntered
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import ask, start
from tests.hub.standin import Hub, Repo
from tests.tiny import make_rows, write_jsonl


def launch(model: str, folder: Path) -> RunFolder:
    rows = write_jsonl(folder / "rows.jsonl", make_rows(80))
    values = {"effective_batch": 4, "micro_batch": 4, "max_length": 64, "steps": 1}
    return start(to_config(from_request(RunRequest(model=model, data=str(rows), overrides=values), detect())))


def events(run: RunFolder) -> Iterator[AnyEvent]:
    """Every event up to the last."""
    tail, deadline = Tail(run.events), time.monotonic() + 120
    while time.monotonic() < deadline:
        for event in tail.read():
            yield event
            if isinstance(event, Ended):
                return
        time.sleep(0.05)
    pytest.fail(f"no end; log: {run.log_tail()}")


def test_the_worker_downloads_what_it_trains(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    hub.add_folder("acme/tiny", tiny)
    hub.delay = 0.1
    seen = list(events(launch("acme/tiny", tmp_path)))
    told = [
        one.phase for one in seen if isinstance(one, PhaseEntered) and one.phase.startswith("downloading acme/tiny")
    ]
    assert 2 <= len(told) <= 11
    assert "387 KiB of 387 KiB" in told[-1]
    assert seen[-1] == Ended(reason="finished", t=seen[-1].t)


def test_a_gated_model_ends_the_run_with_the_sentence(hub: Hub, big: Repo, tmp_path: Path) -> None:
    big.gated = True
    last = list(events(launch("acme/big", tmp_path)))[-1]
    assert isinstance(last, Ended)
    assert last.reason == "failed"
    assert last.bad_input
    assert last.message.startswith("acme/big: This model is gated, and nobody is logged in. Accept its licence at http")


def test_a_stop_during_the_download_ends_the_run(hub: Hub, big: Repo, tmp_path: Path) -> None:
    hub.delay = 0.3
    run = launch("acme/big", tmp_path)
    for event in events(run):
        if isinstance(event, PhaseEntered) and event.phase.startswith("downloading"):
            assert ask(run, "stop")
    assert isinstance(event, Ended)
    assert event.reason == "stopped"
    assert not hub.served.get("model.safetensors", 0) > 3_000_000
