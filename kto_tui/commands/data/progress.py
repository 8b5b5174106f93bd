"""How a long reading shows that it goes on: a bar on a terminal, nothing elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kto_tui.data.report import Progressed


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Progressed], None]]:
    """What to call with each update; the bar is on standard error, so that what is printed can go elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %  {task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        bar = bars.add_task("opening", total=None)

        def show(update: Progressed) -> None:
            said = f"{update.phase}, {update.rows:,} rows"
            bars.update(bar, total=update.bytes_total, completed=update.bytes_done, description=said)

        yield show
