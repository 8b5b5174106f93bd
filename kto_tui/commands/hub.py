"""``download`` and ``models --cached``: what comes from the hub and what is here of it."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kto_tui import units
from kto_tui.catalog import resolve
from kto_tui.commands.follow import say
from kto_tui.commands.printing import print_json, print_table
from kto_tui.commands.train import fetch_starter_model
from kto_tui.errors import UserError
from kto_tui.hub import sentences
from kto_tui.hub.cache import HUB_ID, cached_models
from kto_tui.hub.data_files import dataset_id
from kto_tui.hub.download import Download, tenths
from kto_tui.hub.updates import Done, Failed, Noted, Progressed, Update
from kto_tui.paths import hub_cache
from kto_tui.starter import MODEL_ID, starter_model_folder


def download(
    text: str, revision: str | None, config: str | None, split: str | None, *, dataset: bool, as_json: bool
) -> int:
    """Get a model or data set from the hub into its cache. Ctrl-C ends it; the next one goes on from there.

    Returns:
        0 it is here, 130 cancelled.

    Raises:
        UserError: it cannot be had: no such model, gated, no disk, no network, trouble of the hub's ...
    """
    if dataset:
        text = text.strip()
        data_id = text if HUB_ID.fullmatch(text) else dataset_id(text)
        if data_id is None:
            mend = "Write its id, org/name, or the address of its page"
            raise UserError("This is no data set of the hub", mend=mend, where=text[:80])
        return _follow(Download(data_id, revision, "dataset", config, split), data_id, as_json=as_json)
    if config is not None or split is not None:
        raise UserError("A model has no configs or splits", mend="Add --dataset", where=text)
    model_id = resolve(text).id
    if model_id.startswith("/"):
        raise UserError("This is a folder already", mend="Name a model of the hub, org/model", where=model_id)
    if model_id == MODEL_ID:
        fetch_starter_model(quiet=as_json)
        return _end(Done(path=str(starter_model_folder()), revision=""), model_id, as_json=as_json)
    return _follow(Download(model_id, revision), model_id, as_json=as_json)


def _follow(download: Download, repo_id: str, *, as_json: bool) -> int:
    last: Update | None = None
    with download as running, _shown(repo_id, as_json=as_json) as show:
        try:
            for last in running if sys.stdout.isatty() and not as_json else tenths(running):
                show(last)
        except KeyboardInterrupt:
            last = sentences.interrupted()
            show(last)
    return _end(last, repo_id, as_json=as_json)


def _end(last: Update | None, repo_id: str, *, as_json: bool) -> int:
    match last:
        case Failed():
            told = UserError(last.message, mend=last.mend, where=repo_id)
            if last.kind != "interrupted":
                raise told
            print(f"kto-tui: {told}", file=sys.stderr)
            return 130
        case Done() if not as_json:
            say(f"{repo_id} is in {last.path}")
    return 0


@contextlib.contextmanager
def _shown(repo_id: str, *, as_json: bool) -> Iterator[Callable[[Update], None]]:
    """What to do with an update: JSON lines, one line that changes in place, or a line per 10 % without a terminal."""
    if as_json:
        yield lambda update: say(msgspec.json.encode(update).decode())
    elif not sys.stdout.isatty():
        yield lambda update: say(f"{repo_id}: {sentence}") if (sentence := sentences.line(update)) else None
    else:
        columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %  {task.description}", markup=False))
        with Progress(*columns, console=Console(highlight=False), transient=True) as bars:
            bar = bars.add_task(f"asking for {repo_id}", total=None)

            def show(update: Update) -> None:
                if isinstance(update, Progressed):
                    bars.update(bar, total=update.bytes_total, completed=update.bytes_done)
                if isinstance(update, Noted):
                    bars.console.print(update.text, markup=False)
                elif sentence := sentences.line(update):
                    bars.update(bar, description=sentence)

            yield show


def cached(*, as_json: bool) -> int:
    """What is in the hub's cache, how large, and whether it can be trained as it is."""
    found = cached_models()
    if as_json:
        print_json([msgspec.to_builtins(one) | {"complete": one.complete} for one in found])
        return 0
    print_table(
        ["Model", "Size", "State", "Revision", "Last used"],
        [
            [
                one.id,
                units.size(one.size_bytes),
                "complete" if one.complete else "incomplete",
                ", ".join(f"{name.commit[:8]} {' '.join(name.refs)}".strip() for name in one.revisions) or "none whole",
                units.UNKNOWN if one.last_used is None else time.strftime("%Y-%m-%d", time.localtime(one.last_used)),
            ]
            for one in found
        ],
    )
    total = units.size(sum(one.size_bytes for one in found)) if found else "nothing"
    say(f"{total} in {hub_cache()}, downloaded from the hub by any program. Delete with: hf cache rm")
    return 0
