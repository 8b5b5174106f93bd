"""Runs for the live screen: the events of a real training, cut where a test wants them, and a supervisor that lives."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from kto_tui.runs.event_log import Tail
from kto_tui.runs.events import AnyEvent, Ended, StepCompleted
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.identity import own_identity, write_identity
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.widgets.chart import Chart
from kto_tui.tui.widgets.words import Words

RECORDED = Path(__file__).parents[2] / "screenshots" / "recorded" / "warm-dove"


def recorded_events() -> list[AnyEvent]:
    """All events of the recorded run."""
    return Tail(RECORDED / "events.jsonl").read(100_000_000)


def upto_step(step: int, events: Iterable[AnyEvent] = ()) -> list[AnyEvent]:
    """Those before step ``step`` + 1 was done."""
    kept: list[AnyEvent] = []
    for event in events or recorded_events():
        if isinstance(event, StepCompleted) and event.step > step:
            break
        kept.append(event)
    return kept


def append(run: RunFolder, *events: AnyEvent) -> None:
    """Write ``events`` with the times they carry."""
    with run.events.open("ab") as file:
        file.writelines(msgspec.json.encode(event) + b"\n" for event in events)


def make_run(home: Path, events: Iterable[AnyEvent], *, alive: bool) -> RunFolder:
    """A run of these events; ``alive``: this process is its supervisor."""
    run = RunFolder(home / "runs" / "warm-dove")
    run.path.mkdir(parents=True)
    shutil.copy(RECORDED / "run.toml", run.config)
    append(run, *events)
    if alive:
        write_identity(run.identity, own_identity())
    return run


def ended(reason: str, message: str = "", **more: object) -> Ended:
    """The last word, a second after the recording."""
    return msgspec.structs.replace(Ended(reason=reason, message=message), t=recorded_events()[-1].t + 1, **more)


def live(app: KtoApp) -> LiveScreen:
    """The live screen, wherever it lies."""
    return next(screen for screen in app.screen_stack if isinstance(screen, LiveScreen))


def said(app: KtoApp, where: str) -> str:
    """What a part of the live screen says."""
    return str(live(app).query_one(f"#{where}", Words).said)


def charts(app: KtoApp) -> list[Chart]:
    """Those in sight."""
    return [chart for chart in live(app).query(Chart) if chart.display]


def chosen(app: KtoApp) -> Chart:
    """The one that keys act on."""
    return next(chart for chart in charts(app) if chart.chosen)


def drawn(chart: Chart) -> str:
    """Its rows."""
    return "\n".join(chart.render_line(y).text for y in range(chart.size.height))


def shown(app: KtoApp) -> Callable[[], bool]:
    """Whether the history has been read."""
    return lambda: any(isinstance(screen, LiveScreen) and not screen.reading for screen in app.screen_stack)
